"""Providers of metrics for Prometheus."""

from c2c_stats import includeme as init
from c2c_stats.prometheus import MemoryMapProvider, Provider, add_provider

__all__ = ["MemoryMapProvider", "Provider", "add_provider", "init"]
