"""Benchmarks: ratios within one run, never a promise of an absolute time."""
