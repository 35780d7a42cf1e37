"""The import name of c2cwsgiutils 3, on top of the c2c packages. All modules are names of what is elsewhere.

Beside the real c2cwsgiutils it refuses to be imported. Modules are imported when they are first asked for.
"""

import importlib
from typing import Any

from c2c_compat._refusal import refuse

__all__ = ["get_config_defaults", "get_logconfig_dict", "get_paste_config"]  # given by __getattr__

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
        "config_utils",
        "db_maintenance_view",
        "scripts",
        "wsgi",
        "wsgi_app",
    }
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("c2c_compat._paste"), name)
    # Where importing setup_process sets the process up, looking at it is no reason to.
    if name in _MODULES or (name == "setup_process" and not importlib.import_module("c2c_compat._setup").by_import()):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
