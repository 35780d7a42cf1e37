"""The request that is being handled: its id and what log lines say of it, wherever the code that asks runs."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pyramid.threadlocal import get_current_request

from c2c_logging._request_id import IdSources, new_id
from c2c_logging._trace import Trace

SOURCES = "c2c_logging.id_sources"
_ENVIRON = "c2c_logging.request_id"

_P = ParamSpec("_P")
_T = TypeVar("_T")


class RequestContext:
    """One request, as logs, outgoing calls and SQL sessions see it.

    ``sources`` is what its application says of ids; ``early`` and ``rendered`` keep what a log line says of the
    request, without and with its route.
    """

    __slots__ = ("_trace", "early", "rendered", "request", "request_id", "sources")

    def __init__(self, request: Any, request_id: str, sources: IdSources) -> None:
        self.request = request
        self.request_id = request_id
        self.sources = sources
        self.early: str | None = None
        self.rendered: str | None = None
        self._trace: Trace | None = None

    @property
    def trace(self) -> Trace:
        """The trace that the client said it is in, else one made from the request id."""
        if self._trace is None:
            header = self.request.environ.get("HTTP_TRACEPARENT")
            self._trace = (Trace.parse(header) if header else None) or Trace.of_id(self.request_id)
        return self._trace

    @property
    def matched_route(self) -> str | None:
        """The name of the route, None before there is one."""
        return getattr(getattr(self.request, "matched_route", None), "name", None)

    def fields(self) -> dict[str, Any]:
        """Return what log lines say of the request; never raises, whatever the client sent."""
        request = self.request
        found = {"client_addr": _read(request, "client_addr"), "method": _read(request, "method")}
        found["path"] = _path(request)
        if (route := self.matched_route) is not None:
            found["matched_route"] = route
        found["request_id"] = self.request_id
        return found


CURRENT: ContextVar[RequestContext | None] = ContextVar("c2c_logging.current", default=None)
"""The request of this thread or task; the tween sets it, ``run_in_context`` carries it. Reading it costs 0.02 us."""


def current() -> RequestContext | None:
    """Return the context of the request that is being handled here, None outside of one."""
    context = CURRENT.get()
    if context is None:
        # Code above the tween, scripts, and tests with Pyramid's threadlocals.
        request = get_current_request()
        if request is not None and hasattr(request, "environ"):
            context = context_of(request)
    return context


def context_of(request: Any, sources: IdSources | None = None) -> RequestContext:
    """Return the context of a request. Its id stays the same, whoever asks first.

    ``sources`` are those of its application, where they are known.

    The request keeps the id only: a reference to its context would be a cycle, and make work for the garbage collector.
    """
    outer = CURRENT.get()
    if outer is not None and outer.request is request:
        return outer
    environ = request.environ
    if sources is None:
        sources = getattr(request, "registry", {}).get(SOURCES) or _DEFAULT_SOURCES
    found = environ.get(_ENVIRON)
    if found is None:
        found = sources.find(environ)
        if found is None:
            # A subrequest is part of the request that makes it.
            found = outer.request_id if outer is not None else new_id()
        environ[_ENVIRON] = found
    return RequestContext(request, found, sources)


def run_in_context(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return ``function`` so that it runs, in whatever thread, as part of the request that is being handled now.

    ``executor.submit(run_in_context(work), 1)``: its log lines, outgoing calls and SQL carry the request's id.
    """
    context = current()

    @wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        token = CURRENT.set(context)
        try:
            return function(*args, **kwargs)
        finally:
            CURRENT.reset(token)

    return carried


def _read(request: Any, name: str) -> str:
    try:
        return str(getattr(request, name) or "")
    except Exception:  # noqa: BLE001 # what a client sent may not be what WebOb can read
        return ""


def _path(request: Any) -> str:
    """Return the path as it is in URLs (percent-encoded), or what came where that can't be told."""
    try:
        return str(request.path)
    except Exception:  # noqa: BLE001 # bytes that are not UTF-8
        return str(request.environ.get("SCRIPT_NAME", "")) + str(request.environ.get("PATH_INFO", ""))


_DEFAULT_SOURCES = IdSources()
