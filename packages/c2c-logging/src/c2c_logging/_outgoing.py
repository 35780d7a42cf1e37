"""What outgoing HTTP calls of ``requests`` carry: the request id, a ``traceparent`` and a time-out.

One method is patched, ``Session.send``, through which all calls go, redirects too, as soon as the application imports
the library: nothing here imports it before.
"""

import functools
import logging
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from c2c_broadcast import load, when_imported
from c2c_logging._request_ids import RequestContext, current
from c2c_logging._settings import LoggingSettings

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

_LOG = logging.getLogger("c2c_logging.requests")
_MOST_PLACES = 1_000
# Frames of these are the way to the socket, not the place that calls.
_INNER = ("requests.", "c2c_logging.", "urllib3.", "contextlib")


class Outgoing:
    """How calls are sent on; of the process, as the patch is."""

    def __init__(self) -> None:
        self.default_timeout: float | None = None
        self.active = False  # whether what is sent is to be changed
        self._ours: Any = None
        self._warned: set[tuple[str, int]] = set()

    def install(self) -> None:
        """Patch, unless our wrapper is there already, below another tool's maybe."""
        import requests

        session: Any = requests.Session
        found = session.send
        while found is not None and found is not self._ours:
            found = getattr(found, "__wrapped__", None)
        if self.active and found is None:
            session.send = self._ours = self._wrap(session.send)

    def remove(self) -> None:
        """Put back what was there; below another tool's wrapper, ours stays and does nothing."""
        self.default_timeout, self.active = None, False
        requests: Any = sys.modules.get("requests")
        if requests is not None and requests.Session.send is self._ours:
            requests.Session.send, self._ours = self._ours.__wrapped__, None

    def _wrap(self, original: Any) -> Any:
        @functools.wraps(original)
        def send(session: "Session", request: "PreparedRequest", **kwargs: Any) -> "Response":
            if self.active:
                context = current()
                if context is not None:
                    request = request.copy()  # the caller may send it again, in another request
                    _add_headers(context, request.headers)
                if kwargs.get("timeout") is None:
                    kwargs["timeout"] = (context and context.sources.timeout) or self.default_timeout
                    if kwargs["timeout"] is None:
                        self._warn(request)
            response: Response = original(session, request, **kwargs)
            return response

        return send

    def _warn(self, request: "PreparedRequest") -> None:
        """Warn of a call without time-out, once a place."""
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
            request.method,
            urlsplit(request.url or "").hostname,
            *place,
        )


def _add_headers(context: RequestContext, headers: Any) -> None:
    """Add the request id and W3C Trace Context of the request that is being handled, where they are absent."""
    headers.setdefault(context.sources.header, context.request_id)
    if "traceparent" not in headers:
        headers["traceparent"] = context.trace.child()
        # 3.3: tracestate goes on with the traceparent that it came with.
        state = context.request.environ.get("HTTP_TRACESTATE")
        if state and context.trace.parent_id and state.isprintable() and state.isascii():
            headers.setdefault("tracestate", state)


OUTGOING = Outgoing()
"""The one of this process."""


def instrument_requests(default_timeout: float | None = None) -> None:
    """Have what ``requests`` sends carry the request id, a ``traceparent`` and a time-out. Twice is the same as once.

    Where the application has not imported ``requests``, that happens as soon as it does.

    Args:
        default_timeout: seconds, for what is sent without a time-out; None is what C2C_REQUESTS_DEFAULT_TIMEOUT says,
            else what an earlier call said

    Raises:
        ConfigurationError: The variable is no number of seconds.
    """
    OUTGOING.default_timeout = (
        default_timeout or load(LoggingSettings, {}).requests_default_timeout or OUTGOING.default_timeout
    )
    OUTGOING.active = True
    when_imported("requests", OUTGOING.install)


def uninstrument_requests() -> None:
    """Take the patch back; ``requests`` sends what it is told to, as before."""
    OUTGOING.remove()
