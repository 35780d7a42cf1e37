"""What ``config.include("c2c_debug")`` does."""

from pyramid.config import Configurator

from c2c_broadcast import broadcast, load
from c2c_debug import _memory_maps, _requests, _stacks_view
from c2c_debug._settings import DebugSettings


def subscribe() -> None:
    """Answer what other processes ask: for daemons, which include nothing. Call ``broadcast.start()`` too."""
    broadcast.subscribe(_stacks_view.CHANNEL, _stacks_view.take)


def includeme(config: Configurator) -> None:
    """Add the tools that settings enable: ``config.include("c2c_debug")``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(DebugSettings, config.get_settings())
    if settings.debug_view_enabled:
        _add_debug_views(config)


def _add_debug_views(config: Configurator) -> None:
    subscribe()
    config.add_operator_view(_stacks_view.view, name="debug_stacks", path="/debug/stacks")
    config.add_operator_view(_memory_maps.view, name="debug_memory_maps", path="/debug/memory_maps")
    config.add_operator_view(_requests.sleep, name="debug_sleep", path="/debug/sleep")
    config.add_operator_view(_requests.headers, name="debug_headers", path="/debug/headers")
    config.add_operator_view(_requests.error, name="debug_error", path="/debug/error")
    config.add_operator_view(_requests.now, name="debug_time", path="/debug/time", public=True)
