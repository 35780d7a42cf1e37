"""A daemon or a script that takes part in broadcasts, and one among those that an operator looks into."""

from collections.abc import Mapping
from typing import Any

import c2c_debug
from c2c_broadcast import broadcast, load
from c2c_debug import DebugSettings


def init_daemon(config: Any = None) -> None:
    """Have this daemon answer the views under ``debug/`` of the service, where ``C2C_DEBUG_VIEW_ENABLED`` is true.

    Args:
        config: a Configurator, ini settings, or None: the environment alone

    Raises:
        ConfigurationError: A setting can't be read.
    """
    settings = config.get_settings() if hasattr(config, "get_settings") else config or {}
    if load(DebugSettings, settings).debug_view_enabled:
        c2c_debug.subscribe()
        take_part(settings)


def take_part(settings: Mapping[str, Any] | None = None) -> None:
    """Have this process call others, and answer them.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    broadcast.init(settings)
    broadcast.start()


def cleanup() -> None:
    """Do nothing: a forked worker connects by itself, uses nothing of the master's, and keeps subscriptions."""
