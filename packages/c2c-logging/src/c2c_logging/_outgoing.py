"""What outgoing HTTP calls of ``requests`` carry: the request id, a ``traceparent`` and a time-out.

One method is patched, ``Session.send``, through which all calls go, redirects too, as soon as the application imports
the library: nothing here imports it before.
"""

import functools
import importlib.util
import logging
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from c2c_broadcast import load, when_imported
from c2c_logging._request_ids import current
from c2c_logging._settings import LoggingSettings

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

_LOG = logging.getLogger("c2c_logging.requests")
_LIBRARY = "requests"
_MOST_PLACES = 1_000
# Frames of these are the way to the socket, not the place that calls.
_INNER = ("requests.", "c2c_logging.", "urllib3.", "contextlib")


class Outgoing:
    """How calls are sent on; of the process, as the patch is."""

    def __init__(self) -> None:
        self.default_timeout: float | None = None
        self.wanted = False  # whether requests is to be patched
        self._warned: set[tuple[str, int]] = set()

    def add_headers(self, headers: MutableMapping[str, str]) -> None:
        """Add the request id and W3C Trace Context of the request that is being handled, where they are absent."""
        context = current()
        if context is None:
            return
        if context.sources.header not in headers:
            headers[context.sources.header] = context.request_id
        if "traceparent" not in headers:
            headers["traceparent"] = context.trace.child()
            # 3.3: tracestate goes on with the traceparent that it came with.
            state = context.request.environ.get("HTTP_TRACESTATE")
            if state and context.trace.parent_id and state.isprintable() and state.isascii():
                headers.setdefault("tracestate", state)

    def timeout(self, method: str | None, url: str | None) -> float | None:
        """Return the time-out of a call that was given none; without a default, warn once a place."""
        context = current()
        timeout = self.default_timeout if context is None else context.sources.timeout or self.default_timeout
        if timeout is None:
            self._warn(method, url)
        return timeout

    def _warn(self, method: str | None, url: str | None) -> None:
        frame = sys._getframe(1)  # noqa: SLF001 # the caller's place is what the warning is about
        while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_INNER):
            frame = frame.f_back
        place = (frame.f_code.co_filename, frame.f_lineno)
        if place in self._warned or len(self._warned) >= _MOST_PLACES:
            return
        self._warned.add(place)
        _LOG.warning(
            "%s %s without a time-out, called from %s:%s: give it one (timeout=...), or set"
            " C2C_REQUESTS_DEFAULT_TIMEOUT (ini key c2c.requests_default_timeout)",
            method,
            urlsplit(url or "").hostname,
            *place,
        )


OUTGOING = Outgoing()
"""The one of this process."""


class Patch:
    """Whether, and how, ``Session.send`` is ours."""

    def __init__(self) -> None:
        self._active = False
        self._ours: Any = None

    def install(self) -> None:
        """Patch, unless our wrapper is there already, below another tool's maybe."""
        import requests

        self._active = True
        if self._ours is None or not _holds(requests.Session.send, self._ours):
            self._ours = self._wrap(requests.Session.send)
            setattr(requests.Session, "send", self._ours)  # noqa: B010 # mypy does not assign methods

    def remove(self) -> None:
        """Put back what was there; below another tool's wrapper, ours stays and does nothing."""
        import requests

        self._active = False
        found: Any = requests.Session.send
        if self._ours is not None and found is self._ours:
            setattr(requests.Session, "send", found.__wrapped__)  # noqa: B010 # as above
            self._ours = None

    def _wrap(self, original: Any) -> Any:
        @functools.wraps(original)
        def send(session: "Session", request: "PreparedRequest", **kwargs: Any) -> "Response":
            if self._active:
                OUTGOING.add_headers(request.headers)
                if kwargs.get("timeout") is None:
                    kwargs["timeout"] = OUTGOING.timeout(request.method, request.url)
            response: Response = original(session, request, **kwargs)
            return response

        return send


def _holds(function: Any, wanted: Any) -> bool:
    while function is not None:
        if function is wanted:
            return True
        function = getattr(function, "__wrapped__", None)
    return False


PATCH = Patch()
"""The one of this process."""


def instrument_requests(default_timeout: float | None = None) -> bool:
    """Have what ``requests`` sends carry the request id, a ``traceparent`` and a time-out. Twice is the same as once.

    Where the application has not imported ``requests``, that happens as soon as it does.

    Args:
        default_timeout: seconds, for what is sent without a time-out; None is what C2C_REQUESTS_DEFAULT_TIMEOUT says,
            else what an earlier call said

    Returns:
        Whether ``requests`` is installed.

    Raises:
        ConfigurationError: The variable is no number of seconds.
    """
    if default_timeout is None:
        default_timeout = load(LoggingSettings, {}).requests_default_timeout
    if default_timeout is not None:
        OUTGOING.default_timeout = default_timeout
    OUTGOING.wanted = True
    when_imported(_LIBRARY, _install)
    return _LIBRARY in sys.modules or importlib.util.find_spec(_LIBRARY) is not None


def uninstrument_requests() -> None:
    """Take the patch back; ``requests`` sends what it is told to, as before."""
    OUTGOING.default_timeout = None
    OUTGOING.wanted = False
    if _LIBRARY in sys.modules:
        PATCH.remove()


def _install() -> None:
    if OUTGOING.wanted:
        PATCH.install()
