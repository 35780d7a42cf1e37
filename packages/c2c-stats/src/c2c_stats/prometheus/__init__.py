"""Prometheus: providers of metrics that are asked for at each scrape, scrapes without Pyramid, and the Pushgateway."""

from c2c_stats.prometheus._providers import MemoryMapProvider, Provider, PushgatewayGroupPublisher
from c2c_stats.prometheus._scrape import add_provider, enable_prometheus, metrics_app, start_http_server

__all__ = [
    "MemoryMapProvider",
    "Provider",
    "PushgatewayGroupPublisher",
    "add_provider",
    "enable_prometheus",
    "metrics_app",
    "start_http_server",
]
