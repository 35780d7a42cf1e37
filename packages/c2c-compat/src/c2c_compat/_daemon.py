"""A daemon among those that an operator looks into."""

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
        broadcast.init(settings)
        broadcast.start()
