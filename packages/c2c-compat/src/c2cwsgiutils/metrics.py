"""Providers of metrics for Prometheus."""

from c2c_compat._include import including
from c2c_stats.prometheus import MemoryMapProvider, Provider, add_provider

__all__ = ["MemoryMapProvider", "Provider", "add_provider", "includeme", "init"]

init = includeme = including("c2c_stats")
