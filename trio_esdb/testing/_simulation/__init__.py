"""Simulations: a test runs with many seeds, each with faults of its own, and each the same whenever it is run."""
