"""Acceptance-test tools: local servers, compositions, HTTP connections, images.

The names are those of the modules, which are imported when a name is first asked for: the pytest plugin below this
package is loaded by every pytest of an environment. Not here: ``c2c_testing.gunicorn``, and ``c2c_testing.image``,
which needs an extra.
"""

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2c_testing.composition import CommandError, Composition, ContainerDiedError, LocalComposition
    from c2c_testing.connection import CacheExpected, Connection
    from c2c_testing.print import PrintConnection
    from c2c_testing.servers import (
        PortBusyError,
        ServerError,
        postgres,
        postgres_pair,
        redis_sentinel,
        redis_server,
    )
    from c2c_testing.sinks import HttpSink, SentrySink, StatsdSink, SyslogSink
    from c2c_testing.utils import DOCKER_GATEWAY, approx, in_docker, retry, retry_timeout, skipIfCI, wait_url

__all__ = [
    "DOCKER_GATEWAY",
    "CacheExpected",
    "CommandError",
    "Composition",
    "Connection",
    "ContainerDiedError",
    "HttpSink",
    "LocalComposition",
    "PortBusyError",
    "PrintConnection",
    "SentrySink",
    "ServerError",
    "StatsdSink",
    "SyslogSink",
    "approx",
    "in_docker",
    "postgres",
    "postgres_pair",
    "redis_sentinel",
    "redis_server",
    "retry",
    "retry_timeout",
    "skipIfCI",
    "wait_url",
]

_MODULES = MappingProxyType(
    {
        "composition": ("CommandError", "Composition", "ContainerDiedError", "LocalComposition"),
        "connection": ("CacheExpected", "Connection"),
        "print": ("PrintConnection",),
        "servers": ("PortBusyError", "ServerError", "postgres", "postgres_pair", "redis_sentinel", "redis_server"),
        "sinks": ("HttpSink", "SentrySink", "StatsdSink", "SyslogSink"),
        "utils": ("DOCKER_GATEWAY", "approx", "in_docker", "retry", "retry_timeout", "skipIfCI", "wait_url"),
    }
)


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
