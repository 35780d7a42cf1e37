"""Live diagnosis, of daemons too."""

from typing import Any

import c2c_debug
from c2c_broadcast import load
from c2c_compat._include import including
from c2c_debug import DebugSettings, stacks
from c2c_debug.sizes import dump_memory_maps, get_size
from c2cwsgiutils.broadcast import take_part

__all__ = ["dump_memory_maps", "get_size", "includeme", "init", "init_daemon"]

init = includeme = including("c2c_debug")


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


def take_stacks() -> dict[str, Any]:
    """Return the stacks of this process, this function in them: acceptance tests look for its folder."""
    return stacks.take()
