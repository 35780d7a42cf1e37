"""The WSGI filter that profiles requests, while it is told to.

c2c-run puts it round the application. Without ``C2C_PROFILER_PATH`` it is the application itself, at no cost.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from pyramid.config import global_registries
from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import ConfigurationError, json_error, load
from c2c_broadcast.process import service_folder
from c2c_debug._settings import DebugSettings
from c2c_debug.profiler.sessions import Session, Sessions

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
    from c2c_debug.profiler import linesman_engine
    from c2c_debug.profiler.pages import guarded, made

    config = guarded(found.profiler_path, given, registry)
    flag, sessions = folder / "enabled", Sessions(folder / "sessions.sqlite")
    recorder = linesman_engine.recorder(app, found.profiler_path, found.profiler_modules, flag, sessions, config)
    recorder = recorder or _pyinstrument(found.profiler_modules, flag, sessions, config)
    return ProfilerFilter(app, found.profiler_path, made(config), flag, recorder)


def paste_filter(global_conf: Mapping[str, str] | None, **local_conf: str) -> Callable[[Any], Any]:
    """Make a filter for PasteDeploy: ``use = egg:c2c-debug#profiler``, with the settings as keys of its section.

    Those of ``[DEFAULT]`` count too.
    """
    return lambda app: filter_wsgi_app(app, {**(global_conf or {}), **local_conf})


def _pyinstrument(modules: tuple[str, ...], flag: Path, sessions: Sessions, config: Any) -> Any:
    """Return what makes recorders by pyinstrument.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        from c2c_debug.profiler.pyinstrument_engine import Recording
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyinstrument":
            raise
        raise ConfigurationError(
            "C2C_PROFILER_PATH (ini key c2c.profiler_path) is set and there is no engine: "
            "pip install 'c2c-debug[profiler]'"
        ) from error
    from c2c_debug.profiler.pages import Pages

    Pages(flag, sessions, modules).add_to(config)
    return lambda _environ: Recording(sessions, __file__)


class Recorder(Protocol):
    """What records the calls of one request."""

    @property
    def whole_body(self) -> bool:
        """Whether it goes on while a body is made and sent."""

    def start(self) -> bool:
        """Begin, in this thread; tell whether it could."""

    def stop(self) -> None:
        """End."""

    def keep(self, session: Session) -> None:
        """Keep what was recorded of this request."""


class ProfilerFilter:
    """The application, its profiler, and the profiler's pages. What the profiler gets wrong, no request feels."""

    def __init__(
        self, app: Any, path: str, pages: Any, flag: Path, recorder: Callable[[dict[str, Any]], Recorder]
    ) -> None:
        self.app = app
        self.registry = getattr(app, "registry", None)
        self._path = path
        self._below = f"{path}/"
        self._pages = pages
        self._flag = str(flag)
        self._recorder = recorder

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, or have the application do it."""
        path = environ.get("PATH_INFO", "")
        if path == self._path or path.startswith(self._below):
            if path == self._path:
                environ["PATH_INFO"] = self._below
            pages = self._pages if _is_text(path) else json_error(HTTPBadRequest, _UNREADABLE)
            answer: Iterable[bytes] = pages(environ, start_response)
            return answer
        # At each request: half the time of Path's.
        if _SEEN in environ or not os.path.exists(self._flag):  # noqa: PTH110 # as the line above says
            plain: Iterable[bytes] = self.app(environ, start_response)
            return plain
        return self._profiled(environ, start_response)

    def _profiled(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[_SEEN] = True
        work = _Work(self._recorder(environ), environ)

        def start(status: str, *rest: Any) -> Any:
            work.status = status.partition(" ")[0]
            return start_response(status, *rest)

        work.begin()
        try:
            body: Iterable[bytes] = self.app(environ, start)
        except BaseException:
            work.end()
            raise
        if isinstance(body, list | tuple) or not work.whole_body:
            work.end()
            return body
        return _Body(body, work)


def _is_text(path: str) -> bool:
    """Tell whether Pyramid can read a path: what it can't is an error of its router, not of a view."""
    try:
        path.encode("latin-1").decode("utf-8")  # as WSGI hands it over (PEP 3333)
    except ValueError:
        return False
    return True


class _Work:
    """One request while it is profiled."""

    def __init__(self, recorder: Recorder, environ: dict[str, Any]) -> None:
        self.status = ""
        self.whole_body = recorder.whole_body
        self._recorder: Recorder | None = recorder
        # WSGI hands a path over as latin-1 (PEP 3333).
        self._path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        self._method = environ.get("REQUEST_METHOD", "")
        self._begun = time.time()
        self._start = time.perf_counter()

    def begin(self) -> None:
        try:
            if self._recorder is not None and not self._recorder.start():
                self._recorder = None
        except Exception:  # noqa: BLE001 # the watched request is sacred
            _LOG.warning("A request can't be profiled", exc_info=True)
            self._recorder = None

    def end(self) -> None:
        """End; a second time changes nothing."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        duration = time.perf_counter() - self._start
        session = Session(
            begun=self._begun, duration=duration, method=self._method, path=self._path, status=self.status
        )
        try:
            recorder.stop()
            recorder.keep(session)
        except Exception:  # noqa: BLE001 # the watched request is sacred
            _LOG.warning("A profiled request can't be kept", exc_info=True)


class _Body:
    """A body that is made while it is sent: profiled until it is closed."""

    def __init__(self, body: Iterable[bytes], work: _Work) -> None:
        self._body = body
        self._work = work

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._work.end()
