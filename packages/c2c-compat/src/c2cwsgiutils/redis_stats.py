"""Metrics of Redis commands."""

from c2c_stats import includeme as init

__all__ = ["init"]
