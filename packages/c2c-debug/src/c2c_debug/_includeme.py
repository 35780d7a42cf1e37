"""What ``config.include("c2c_debug")`` does."""

from pyramid.config import Configurator

from c2c_broadcast import load, masker_of
from c2c_debug import _memory_maps, _memory_views, _profile_view, _references_view, _requests, _sql_view, _stacks_view
from c2c_debug._settings import DebugSettings
from c2c_debug._tools import KEY, Tools


def subscribe() -> None:
    """Answer what other processes ask: for daemons, which include nothing. Call ``broadcast.start()`` too."""
    Tools().subscribe()


def includeme(config: Configurator) -> None:
    """Add the tools that settings enable: ``config.include("c2c_debug")``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(DebugSettings, config.get_settings())
    config.registry.setdefault(KEY, Tools(masker_of(config.registry)))
    if settings.debug_view_enabled:
        _add_debug_views(config)
    if settings.sql_profiler_enabled:
        _sql_view.install(config.registry, masker_of(config.registry))
        add = config.add_operator_view
        add(_sql_view.view, name="sql_profiler", path="/sql_profiler", changes_state=_sql_view.changes)


def _add_debug_views(config: Configurator) -> None:
    config.registry[KEY].subscribe()
    add = config.add_operator_view
    add(_stacks_view.view, name="debug_stacks", path="/debug/stacks")
    add(_memory_views.memory, name="debug_memory", path="/debug/memory")
    add(_memory_views.memory_diff, name="debug_memory_diff", path="/debug/memory_diff")
    add(_memory_views.memory_diff, name="debug_memory_diff_of", path="/debug/memory_diff/*path")
    add(_memory_maps.view, name="debug_memory_maps", path="/debug/memory_maps")
    add(_references_view.view, name="debug_show_refs", path="/debug/show_refs.dot")
    add(_profile_view.view, name="debug_profile", path="/debug/profile")
    add(_requests.sleep, name="debug_sleep", path="/debug/sleep")
    add(_requests.headers, name="debug_headers", path="/debug/headers")
    add(_requests.error, name="debug_error", path="/debug/error")
    add(_requests.now, name="debug_time", path="/debug/time", public=True)
