"""Prometheus: providers of metrics that are asked for at each scrape, and the Pushgateway.

from c2c_stats.prometheus import Provider, MemoryMapProvider, add_provider
"""

from c2c_stats._provider import MemoryMapProvider, Provider
from c2c_stats._pushgateway import PushgatewayGroupPublisher
from c2c_stats._scrape import Collector

__all__ = ["MemoryMapProvider", "Provider", "PushgatewayGroupPublisher", "add_provider", "remove_provider"]

_PROVIDERS: list[Collector] = []


def add_provider(provider: Collector) -> None:
    """Show a provider's metrics (or those of any prometheus_client collector) at each scrape of this process.

    Adding it again changes nothing.
    """
    if provider not in _PROVIDERS:
        _PROVIDERS.append(provider)


def remove_provider(provider: Collector) -> None:
    """Show a provider's metrics no more; nothing where it was not added."""
    if provider in _PROVIDERS:
        _PROVIDERS.remove(provider)


def providers() -> tuple[Collector, ...]:
    """Return what was added."""
    return tuple(_PROVIDERS)
