"""Metrics of requests, rendering and SQL."""

from c2c_compat._include import including

__all__ = ["init"]

init = including("c2c_stats")
