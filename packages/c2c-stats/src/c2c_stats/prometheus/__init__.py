"""Prometheus: providers of metrics that are asked for at each scrape, scrapes without Pyramid, and the Pushgateway.

from c2c_stats.prometheus import Provider, MemoryMapProvider, add_provider, start_http_server

start_http_server(9090)  # in a daemon, or a Celery worker
"""

import socketserver
import threading
from collections.abc import Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from c2c_stats.prometheus._providers import MemoryMapProvider, Provider
from c2c_stats.prometheus._push import PushgatewayGroupPublisher
from c2c_stats.prometheus._scrape import PROVIDERS, Collector, enable_prometheus, metrics_app

__all__ = [
    "MemoryMapProvider",
    "Provider",
    "PushgatewayGroupPublisher",
    "add_provider",
    "enable_prometheus",
    "metrics_app",
    "remove_provider",
    "start_http_server",
]


def add_provider(provider: Collector) -> None:
    """Show a provider's metrics (or those of any prometheus_client collector) at each scrape of this process.

    Adding it again changes nothing.
    """
    if provider not in PROVIDERS:
        PROVIDERS.append(provider)


def remove_provider(provider: Collector) -> None:
    """Show a provider's metrics no more; nothing where it was not added."""
    if provider in PROVIDERS:
        PROVIDERS.remove(provider)


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds, for a client that sends nothing

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
        """Log nothing: a scrape is no news."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


def start_http_server(port: int, address: str = "", settings: Mapping[str, Any] | None = None) -> WSGIServer:
    """Serve scrapes from a thread of this process, on any path: for daemons, and frameworks without WSGI.

    ``address`` is by default all of the host's; with ``port`` 0 the system chooses, ``server_port`` tells it.
    All processes that were forked from one are in each answer. ``shutdown()`` of the answer ends it. ``settings``
    are as in ``enable_prometheus``.

    Raises:
        ConfigurationError: A setting can't be read.
        OSError: The port is taken.
    """
    enable_prometheus(settings)
    server = _Server((address, port), _Handler)
    server.set_app(metrics_app)
    threading.Thread(target=server.serve_forever, name="c2c-stats-metrics", daemon=True).start()
    return server
