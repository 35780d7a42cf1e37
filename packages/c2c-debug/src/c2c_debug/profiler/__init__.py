"""The Python profiler as a WSGI filter: ``app = filter_wsgi_app(app)``, or ``egg:c2c-debug#profiler`` in a pipeline.

It profiles requests, while it is told to. c2c-run puts it round the application. Without ``C2C_PROFILER_PATH`` it is
the application itself, at no cost.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pyramid.config import Configurator, global_registries
from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import ConfigurationError, include_below, json_error, load, settings_of
from c2c_broadcast.process import service_folder
from c2c_debug._settings import DebugSettings
from c2c_debug.profiler.sessions import Session, Sessions

__all__ = ["filter_wsgi_app", "paste_filter"]

_LOG = logging.getLogger(__name__)

# Where the ini file's pipeline has the filter, and c2c-run too, a request meets it twice.
_SEEN = "c2c_debug.profiled"
_UNREADABLE = "The address can't be read: UTF-8, percent-encoded"


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
        folder = service_folder("profiler", on_disk=True)
    except OSError as error:
        raise ConfigurationError(f"C2C_PROFILER_PATH (ini key c2c.profiler_path) is set and {error}") from error
    flag, sessions = folder / "enabled", Sessions(folder / "sessions.sqlite")
    engine = _engine(found.profiler_path, found.profiler_modules, flag, sessions)
    # The pages know the same operators as the application, but none of its routes and views.
    config = Configurator(settings=given)
    include_below(config, found.profiler_path, registry)
    engine.add_pages(config, public=settings_of(config.registry).secret is None)
    pages = config.make_wsgi_app()
    global_registries.remove(config.registry)  # it is not the one that scripts and shells ask for as the last made
    return ProfilerFilter(app, found.profiler_path, pages, flag, sessions, engine.recording)


def paste_filter(global_conf: Mapping[str, str] | None, **local_conf: str) -> Callable[[Any], Any]:
    """Make a filter for PasteDeploy: ``use = egg:c2c-debug#profiler``, with the settings as keys of its section.

    Those of ``[DEFAULT]`` count too.
    """
    return lambda app: filter_wsgi_app(app, {**(global_conf or {}), **local_conf})


def _engine(path: str, modules: tuple[str, ...], flag: Path, sessions: Sessions) -> Any:
    """Return linesman where it is installed and works, or pyinstrument.

    Raises:
        ConfigurationError: None is installed.
    """
    from c2c_debug.profiler import linesman_engine

    linesman = linesman_engine.load()
    if linesman is not None:
        return linesman_engine.Engine(linesman, path, modules, flag, sessions)
    try:
        from c2c_debug.profiler.pyinstrument_engine import Engine
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyinstrument":
            raise
        raise ConfigurationError(
            "C2C_PROFILER_PATH (ini key c2c.profiler_path) is set and there is no engine: "
            "pip install 'c2c-debug[profiler]'"
        ) from error
    return Engine(modules, flag, sessions)


class ProfilerFilter:
    """The application, its profiler, and the profiler's pages. What the profiler gets wrong, no request feels.

    ``recording`` makes what records one request: ``start`` (true if it could) and ``stop`` in the request's thread,
    then ``data`` for the ``sessions``.
    """

    def __init__(
        self, app: Any, path: str, pages: Any, flag: Path, sessions: Sessions, recording: Callable[[], Any]
    ) -> None:
        self.app = app
        self.registry = getattr(app, "registry", None)
        self._path = path
        self._below = f"{path}/"
        self._pages = pages
        self._flag = str(flag)
        self._sessions = sessions
        self._recording = recording

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or have the application do it."""
        path = environ.get("PATH_INFO", "")
        answer: Iterable[bytes]
        if path == self._path or path.startswith(self._below):
            if path == self._path:
                environ["PATH_INFO"] = self._below
            pages = self._pages if _is_text(path) else json_error(HTTPBadRequest, _UNREADABLE)
            answer = pages(environ, start_response)
        # At each request: half the time of Path's.
        elif _SEEN in environ or not os.path.exists(self._flag):  # noqa: PTH110 # as the line above says
            answer = self.app(environ, start_response)
        else:
            environ[_SEEN] = True
            answer = self._profiled(environ, start_response)
        return answer

    def _profiled(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        recording = self._recording()
        if not _safely(recording.start):
            return self.app(environ, start_response)
        status = ""

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line.partition(" ")[0]
            return start_response(line, *rest)

        # WSGI hands a path over as latin-1 (PEP 3333).
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        begun, since = time.time(), time.perf_counter()
        try:
            return self.app(environ, start)
        finally:
            one = Session(begun, time.perf_counter() - since, environ.get("REQUEST_METHOD", ""), path, status)
            _safely(recording.stop)
            _safely(lambda: self._sessions.add(one, recording.data(one)))


def _safely(call: Callable[[], Any]) -> Any:
    """Return what a call of the profiler's returns; None where it fails, which is logged."""
    try:
        return call()
    except Exception:  # noqa: BLE001 # the watched request is sacred
        _LOG.warning("A request can't be profiled", exc_info=True)
        return None


def _is_text(path: str) -> bool:
    """Tell whether Pyramid can read a path: what it can't is an error of its router, not of a view."""
    try:
        path.encode("latin-1").decode("utf-8")  # as WSGI hands it over (PEP 3333)
    except ValueError:
        return False
    return True
