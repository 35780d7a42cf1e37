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
from functools import lru_cache, wraps
from typing import Any, ParamSpec, Self, TypeVar

from c2c_broadcast import cached
from c2c_logging._settings import LoggingSettings

SETTINGS = "c2c_logging.settings"
_HEADERS = ("X-Request-ID", "X-Correlation-ID", "Request-ID", "X-Varnish", "X-Amzn-Trace-Id")
_LONGEST = 128
_ENVIRON = "c2c_logging.request_id"
# Printable ASCII without what quotes, ends or comments in SQL, shells and HTML: ' " \ ` ; * % $ < >
_BAD = re.compile(r"[^A-Za-z0-9 !#&()+,./:=?@\[\]^_{|}~-]+")
_ROOT = re.compile(r"(?:^|;)[ \t]{0,5}root=([^;]+)", re.IGNORECASE)  # in Amazon's Self=...;Root=1-...;Sampled=1
# Trace Context, 3.2: version 00 is exact; of a higher version, what is known of it is read.
_TRACEPARENT = re.compile(
    r"(?:00|(?!00|ff)([0-9a-f]{2}))-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?(1)(?:-.*)?|)"
)
_HEX = re.compile(r"[0-9a-f]{32}")
_RANDOM = random.Random()  # noqa: S311 # an id is no secret
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, without a pattern: each bit of a time changes many of the product
_P = ParamSpec("_P")
_T = TypeVar("_T")


def new_id() -> str:
    """Return a new request id, in the form of a UUID of version 4 (RFC 9562, section 5.4).

    ``uuid4`` is a system call, which in the midst of a request can cost a tenth of it. A forked process has the same
    random numbers: the time in nanoseconds tells their ids apart.
    """
    digits = f"{(_RANDOM.getrandbits(128) ^ time.time_ns() * _SPREAD) & (1 << 128) - 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def clean(value: str) -> str:
    """Return what may be kept of an id: printable ASCII, 128 characters at most; empty where nothing is left."""
    return _BAD.sub("", value[: 8 * _LONGEST]).strip()[:_LONGEST].rstrip()


@lru_cache(64)
def _keys(header: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"HTTP_{name.upper().replace('-', '_')}" for name in (header, *_HEADERS)))


def find_id(environ: Mapping[str, Any], header: str) -> str | None:
    """Return the cleaned id that a WSGI environ brings, the one in ``header`` before others; None without one."""
    for key in _keys(header):
        value = environ.get(key)
        if value and key == "HTTP_X_AMZN_TRACE_ID" and (root := _ROOT.search(value)):
            value = root[1]
        if value and (found := clean(value)):
            return found
    trace = Trace.parse(environ["HTTP_TRACEPARENT"]) if "HTTP_TRACEPARENT" in environ else None
    return trace.trace_id if trace else None


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace: 32 hexadecimal digits, and whether it is sampled."""

    trace_id: str
    sampled: bool

    @classmethod
    def parse(cls, header: str) -> Self | None:
        """Return what a ``traceparent`` header says, None for one that must be ignored."""
        match = _TRACEPARENT.fullmatch(header.strip())
        return cls(match[2], bool(int(match[3], 16) & 1)) if match else None

    @classmethod
    def of_id(cls, request_id: str) -> Self:
        """Return a trace for a request that came without one: the same id always gives the same trace."""
        trace_id = request_id.replace("-", "").lower()
        if not _HEX.fullmatch(trace_id) or not trace_id.strip("0"):
            trace_id = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return cls(trace_id, sampled=False)

    def child(self) -> str:
        """Return the ``traceparent`` of one outgoing call, as a new span of this trace."""
        span = f"{os.urandom(7).hex()}01"  # not all zero
        return f"00-{self.trace_id}-{span}-{'01' if self.sampled else '00'}"


class RequestContext:
    """One request, as logs, outgoing calls and SQL sessions see it."""

    def __init__(self, request: Any, request_id: str, settings: LoggingSettings) -> None:
        self.request = request
        self.request_id = request_id
        self.settings = settings
        # What a log line says of the request, by dialect, and whether its route is in it.
        self.rendered: dict[Any, tuple[bool, str]] = {}

    @cached
    def trace(self) -> Trace:
        """The trace that the client said it is in, else one made from the request id."""
        return Trace.parse(self.request.environ.get("HTTP_TRACEPARENT", "")) or Trace.of_id(self.request_id)


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


def context_of(request: Any, settings: LoggingSettings | None = None) -> RequestContext:
    """Return the context of a request. Its id stays the same, whoever asks first.

    The request keeps the id only: a reference to its context would be a cycle, and make work for the garbage collector.
    """
    outer = CURRENT.get()
    if outer is not None and outer.request is request:
        return outer
    environ = request.environ
    if settings is None:
        settings = getattr(request, "registry", {}).get(SETTINGS) or _NO_SETTINGS
    found = environ.get(_ENVIRON) or find_id(environ, settings.request_id_header)
    if found is None:
        # A subrequest is part of the request that makes it.
        found = outer.request_id if outer is not None else new_id()
    environ[_ENVIRON] = found
    return RequestContext(request, found, settings)


def _assign(request: Any, value: str) -> None:
    """Have lines, calls, SQL and the answer carry another id from now on."""
    context = context_of(request)
    context.request_id = request.environ[_ENVIRON] = clean(value) or new_id()
    context.rendered = {}
    vars(context).pop("trace", None)


REQUEST_ID = property(lambda request: context_of(request).request_id, _assign)
"""``request.c2c_request_id``: at most 128 characters of printable ASCII; what is assigned is cleaned, too."""


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


_NO_SETTINGS = LoggingSettings()


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application."""
    settings: LoggingSettings = registry[SETTINGS]

    def tween(request: Any) -> Any:
        context = context_of(request, settings)
        token = CURRENT.set(context)
        try:
            response = handler(request)
        finally:
            CURRENT.reset(token)
        response.headers[settings.request_id_header] = context.request_id
        return response

    return tween
