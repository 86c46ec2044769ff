"""The clients that are measured, each a program of its own that reads jobs from stdin and writes samples to stdout."""
