"""Metrics of Redis commands."""

from c2c_compat._include import including

init = includeme = including("c2c_stats")
