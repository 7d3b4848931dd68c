"""Benchmarks: `python -m benchmarks` runs them all and prints the tables that the README quotes."""
