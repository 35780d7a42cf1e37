"""The import name of c2cwsgiutils 3, on top of the c2c packages. All modules are names of what is elsewhere.

Beside the real c2cwsgiutils it refuses to be imported. Modules are imported when they are first asked for.
"""

import importlib
from typing import Any

from c2c_compat._refusal import refuse

refuse()

_MODULES = frozenset(
    {
        "acceptance",
        "auth",
        "broadcast",
        "client_info",
        "coverage_setup",
        "db",
        "debug",
        "errors",
        "health_check",
        "index",
        "loader",
        "logging_view",
        "metrics",
        "models_graph",
        "pretty_json",
        "profiler",
        "prometheus",
        "pyramid",
        "pyramid_logging",
        "redis_stats",
        "redis_utils",
        "request_tracking",
        "sentry",
        "services",
        "sql_profiler",
        "sqlalchemylogger",
        "stats",
        "stats_pyramid",
        "version",
        "wsgi",
        "wsgi_app",
    }
)


def __getattr__(name: str) -> Any:
    # setup_process is no name of these: looking at it is no reason to set a process up.
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
