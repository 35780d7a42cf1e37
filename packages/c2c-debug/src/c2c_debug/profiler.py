"""The Python profiler as a WSGI filter: ``app = filter_wsgi_app(app)``, or ``egg:c2c-debug#profiler`` in a pipeline.

c2c-run puts it round the application. Without ``C2C_PROFILER_PATH`` it is the application itself, at no cost.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pyramid.config import global_registries

from c2c_broadcast import ConfigurationError, load
from c2c_debug import _profiler_filter
from c2c_debug._profiler_folder import Folder
from c2c_debug._profiler_sessions import Sessions
from c2c_debug._settings import DebugSettings

__all__ = ["filter_wsgi_app", "paste_filter"]


def filter_wsgi_app(app: Any, settings: Mapping[str, Any] | None = None) -> Any:
    """Return the application inside the profiler, or as it is where the profiler has no path.

    Args:
        app: any WSGI application
        settings: as of an ini file; by default those of the Pyramid application that was made last. The environment
            wins over them.

    Raises:
        ConfigurationError: A setting can't be used, or no engine is installed.
    """
    registry = getattr(app, "registry", None) or global_registries.last
    given = {**(getattr(registry, "settings", None) or {}), **(settings or {})}
    found = load(DebugSettings, given)
    if found.profiler_path is None:
        return app
    try:
        folder = Folder.of_service()
    except OSError as error:
        raise ConfigurationError(f"C2C_PROFILER_PATH (ini key c2c.profiler_path) is set and {error}") from error
    from c2c_debug._profiler_pages import guarded, made

    config = guarded(found.profiler_path, given, registry)
    recorder = _linesman(app, found, folder, config) or _pyinstrument(found, folder, config)
    return _profiler_filter.ProfilerFilter(app, found.profiler_path, made(config), folder, recorder)


def paste_filter(global_conf: Mapping[str, str] | None, **local_conf: str) -> Callable[[Any], Any]:
    """Make a filter for PasteDeploy: ``use = egg:c2c-debug#profiler``, with the settings as keys of its section.

    Those of ``[DEFAULT]`` count too.
    """
    return lambda app: filter_wsgi_app(app, {**(global_conf or {}), **local_conf})


def _linesman(app: Any, settings: DebugSettings, folder: Folder, config: Any) -> Any:
    """Return what makes recorders by linesman, None where that is not installed or does not work."""
    from c2c_debug import _linesman as linesman

    middleware = linesman.load()
    if middleware is None:
        return None
    from c2c_debug._linesman_engine import Engine
    from c2c_debug._linesman_pages import LinesmanPages

    assert settings.profiler_path is not None  # else there is no profiler
    engine = Engine(middleware, app, settings.profiler_path, settings.profiler_modules, folder)
    LinesmanPages(engine, settings.profiler_path).add_to(config)
    return engine.recording


def _pyinstrument(settings: DebugSettings, folder: Folder, config: Any) -> Any:
    """Return what makes recorders by pyinstrument.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        from c2c_debug._profiler_pyinstrument import Recording
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyinstrument":
            raise
        raise ConfigurationError(
            "C2C_PROFILER_PATH (ini key c2c.profiler_path) is set and there is no engine: "
            "pip install 'c2c-debug[profiler]'"
        ) from error
    from c2c_debug._profiler_pages import Pages

    sessions = Sessions(folder.path / "sessions.sqlite")
    Pages(folder, sessions, settings.profiler_modules, "pyinstrument").add_to(config)
    return lambda _environ: Recording(sessions, _profiler_filter.__file__)
