"""Metrics of requests, rendering and SQL."""

from c2c_stats import includeme as init

__all__ = ["init"]
