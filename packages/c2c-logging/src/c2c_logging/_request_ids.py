"""Request ids: where they come from, and the request that is being handled, wherever the code that asks runs.

Nothing that a client sends passes that could split a header, a log line or a SQL string.
"""

import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

DEFAULT_HEADER = "X-Request-ID"
SOURCES = "c2c_logging.id_sources"
LONGEST = 128
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$&^_|~.+-]+")
"""A field name (RFC 9110, 5.1), without the few characters that have a meaning in shells and SQL."""

_HEADERS = (DEFAULT_HEADER, "X-Correlation-ID", "Request-ID", "X-Varnish", "X-Amzn-Trace-Id")
_ENVIRON = "c2c_logging.request_id"
# Printable ASCII without what quotes, ends or comments in SQL, shells and HTML: ' " \ ` ; * % $ < >
_BAD = re.compile(r"[^A-Za-z0-9 !#&()+,./:=?@\[\]^_{|}~-]+")
# Trace Context, 3.2: version 00 is exact; of a higher version, what is known of it is read.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_HEX = re.compile(r"[0-9a-f]{32}")
_RANDOM = random.Random()  # noqa: S311 # an id is no secret
_ALL_BITS = (1 << 128) - 1
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, without a pattern: each bit of a time changes many of the product
_P = ParamSpec("_P")
_T = TypeVar("_T")


def new_id() -> str:
    """Return a new request id, in the form of a UUID of version 4 (RFC 9562, section 5.4).

    ``uuid4`` asks the system, and where the kernel guards against Spectre a system call in the midst of a request costs
    it a tenth. A forked process has the same numbers: the time in nanoseconds tells their ids apart.
    """
    number = _RANDOM.getrandbits(128) ^ time.time_ns() * _SPREAD
    digits = f"{number & _ALL_BITS:032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[number & 3]}{digits[17:20]}-{digits[20:]}"


def clean(value: str) -> str:
    """Return what may be kept of an id: printable ASCII, 128 characters at most; empty where nothing is left."""
    return _BAD.sub("", value[: 8 * LONGEST]).strip()[:LONGEST].rstrip()


class IdSources:
    """The headers that may bring a request id, in their order.

    ``header`` is the one under which it is sent on, ``sql`` whether SQL sessions carry it, ``timeout`` the seconds
    that outgoing calls have by default.
    """

    __slots__ = ("_keys", "header", "sql", "timeout")

    def __init__(self, header: str | None = None, *, sql: bool = False, timeout: float | None = None) -> None:
        self.header = header or DEFAULT_HEADER
        self.sql = sql
        self.timeout = timeout
        names = dict.fromkeys(name.upper().replace("-", "_") for name in (self.header, *_HEADERS))
        self._keys = tuple(f"HTTP_{name}" for name in names)

    def find(self, environ: Mapping[str, Any]) -> str | None:
        """Return the cleaned id that a WSGI environ brings, None without one."""
        for key in self._keys:
            value = environ.get(key)
            if value and (found := clean(_amazon_root(value) if key == "HTTP_X_AMZN_TRACE_ID" else value)):
                return found
        traceparent = environ.get("HTTP_TRACEPARENT")
        trace = Trace.parse(traceparent) if traceparent else None
        return trace.trace_id if trace else None


def _amazon_root(value: str) -> str:
    """Return the ``Root`` of Amazon's ``Self=...;Root=1-...;Sampled=1``, the value itself without one."""
    for part in value.split(";"):
        name, _, root = part.partition("=")
        if name.strip().lower() == "root":
            return root
    return value


@dataclass(frozen=True, slots=True)
class Trace:
    """A position in a trace: 32 and 16 hexadecimal digits, and whether it is sampled."""

    trace_id: str
    parent_id: str
    sampled: bool

    @classmethod
    def parse(cls, header: str) -> Self | None:
        """Return what a ``traceparent`` header says, None for one that must be ignored."""
        match = _TRACEPARENT.fullmatch(header.strip())
        if match is None:
            return None
        version, trace_id, parent_id, flags, rest = match.groups()
        if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not parent_id.strip("0"):
            return None
        return cls(trace_id, parent_id, bool(int(flags, 16) & 1))

    @classmethod
    def of_id(cls, request_id: str) -> Self:
        """Return a trace for a request that came without one: the same id always gives the same trace."""
        trace_id = request_id.replace("-", "").lower()
        if not _HEX.fullmatch(trace_id) or not trace_id.strip("0"):
            trace_id = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return cls(trace_id, "", sampled=False)

    def child(self) -> str:
        """Return the ``traceparent`` of one outgoing call, as a new span of this trace."""
        span = f"{os.urandom(7).hex()}01"  # not all zero
        return f"00-{self.trace_id}-{span}-{'01' if self.sampled else '00'}"


class RequestContext:
    """One request, as logs, outgoing calls and SQL sessions see it.

    ``sources`` is what its application says of ids; ``rendered`` keeps what a log line says of the request, by dialect,
    and whether its route is in it.
    """

    __slots__ = ("_trace", "rendered", "request", "request_id", "sources")

    def __init__(self, request: Any, request_id: str, sources: IdSources) -> None:
        self.request = request
        self.request_id = request_id
        self.sources = sources
        self.rendered: dict[Any, tuple[bool, str]] = {}
        self._trace: Trace | None = None

    @property
    def trace(self) -> Trace:
        """The trace that the client said it is in, else one made from the request id."""
        if self._trace is None:
            header = self.request.environ.get("HTTP_TRACEPARENT")
            self._trace = (Trace.parse(header) if header else None) or Trace.of_id(self.request_id)
        return self._trace

    def rename(self, request_id: str) -> None:
        """Have another id from now on."""
        self.request_id = request_id
        self.request.environ[_ENVIRON] = request_id
        self.rendered, self._trace = {}, None


CURRENT: ContextVar[RequestContext | None] = ContextVar("c2c_logging.current", default=None)
"""The request of this thread or task; the tween sets it, ``run_in_context`` carries it. Reading it costs 0.02 us."""


def current() -> RequestContext | None:
    """Return the context of the request that is being handled here, None outside of one."""
    context = CURRENT.get()
    if context is None:
        # Code above the tween, scripts, and tests with Pyramid's threadlocals; nobody has any before Pyramid is there.
        threadlocal = sys.modules.get("pyramid.threadlocal")
        request = threadlocal.get_current_request() if threadlocal is not None else None
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


class RequestId:
    """``request.c2c_request_id``: at most 128 characters of printable ASCII; what is assigned is cleaned, too."""

    def __get__(self, request: Any, owner: Any = None) -> Any:
        """Return the id of the request."""
        return self if request is None else context_of(request).request_id

    def __set__(self, request: Any, value: str) -> None:
        """Have lines, calls, SQL and the answer carry another id from now on."""
        context_of(request).rename(clean(value) or new_id())


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


_DEFAULT_SOURCES = IdSources()


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application."""
    sources: IdSources = registry[SOURCES]
    header, length, lower = sources.header, len(sources.header), sources.header.lower()

    def tween(request: Any) -> Any:
        context = context_of(request, sources)
        token = CURRENT.set(context)
        try:
            response = handler(request)
        finally:
            CURRENT.reset(token)
        headers = response.headerlist
        # Comparing lengths first is cheaper than lower case.
        for name, _ in headers:
            if len(name) == length and name.lower() == lower:
                response.headers[header] = context.request_id
                break
        else:
            headers.append((header, context.request_id))
        return response

    return tween
