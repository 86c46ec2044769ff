"""Measures trio_esdb against other clients, in one run, through public APIs: ``python -m benchmarks [--quick]``."""
