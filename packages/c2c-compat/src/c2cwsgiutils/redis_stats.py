"""Metrics of Redis commands."""

from c2c_compat._include import including

__all__ = ["includeme", "init"]

init = includeme = including("c2c_stats")
