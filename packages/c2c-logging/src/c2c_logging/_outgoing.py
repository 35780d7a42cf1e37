"""What outgoing HTTP calls of ``requests`` carry: the request id, a ``traceparent`` and a time-out.

One method is patched, ``Session.send``, through which all calls go, as soon as the application imports the library.
"""

import functools
import logging
import sys
from inspect import unwrap
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from c2c_broadcast import load, when_imported
from c2c_logging._request_ids import current
from c2c_logging._settings import LoggingSettings

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

_LOG = logging.getLogger("c2c_logging.requests")
_MOST_PLACES = 1_000
_INNER = ("requests.", "c2c_logging.", "urllib3.", "contextlib")  # frames on the way to the socket


class _Outgoing:
    """How calls are sent on; of the process, as the patch is."""

    default_timeout: float | None = None
    active = False  # whether what is sent is to be changed
    send: Any = None  # our wrapper


OUTGOING = _Outgoing()
WARNED: set[tuple[str, int]] = set()


def instrument_requests(default_timeout: float | None = None) -> None:
    """Have what ``requests`` sends carry the request id, a ``traceparent`` and a time-out. Twice is the same as once.

    ``default_timeout`` is in seconds; None is what C2C_REQUESTS_DEFAULT_TIMEOUT says, else what an earlier call said.

    Raises:
        ConfigurationError: The variable is no number of seconds.
    """
    variable = load(LoggingSettings, {}).requests_default_timeout
    OUTGOING.default_timeout = default_timeout or variable or OUTGOING.default_timeout
    OUTGOING.active = True
    when_imported("requests", _patch)


def uninstrument_requests() -> None:
    """Take the patch back; ``requests`` sends what it is told to. Below another tool's, ours stays and does nothing."""
    OUTGOING.default_timeout, OUTGOING.active = None, False
    requests: Any = sys.modules.get("requests")
    if requests is not None and requests.Session.send is OUTGOING.send:
        requests.Session.send, OUTGOING.send = OUTGOING.send.__wrapped__, None


def _patch() -> None:
    import requests

    session: Any = requests.Session
    original = session.send
    if not OUTGOING.active or unwrap(original, stop=lambda one: one is OUTGOING.send) is OUTGOING.send:
        return  # ours is there already, below another tool's maybe

    @functools.wraps(original)
    def send(self: "Session", request: "PreparedRequest", **kwargs: Any) -> Any:
        if OUTGOING.active:
            context = current()
            if context is not None:
                request = request.copy()  # the caller may send it again, in another request
                request.headers.setdefault(context.settings.request_id_header, context.request_id)
                request.headers.setdefault("traceparent", context.trace.child())
            if kwargs.get("timeout") is None:
                kwargs["timeout"] = (context and context.settings.requests_default_timeout) or OUTGOING.default_timeout
                if kwargs["timeout"] is None:
                    _warn(request)
        return original(self, request, **kwargs)

    session.send = OUTGOING.send = send


def _warn(request: "PreparedRequest") -> None:
    """Warn of a call without time-out, once a place."""
    frame = sys._getframe(1)  # noqa: SLF001 # the caller's place is what the warning is about
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_INNER):
        frame = frame.f_back
    place = (frame.f_code.co_filename, frame.f_lineno)
    if place in WARNED or len(WARNED) >= _MOST_PLACES:
        return
    WARNED.add(place)
    _LOG.warning(
        "%s %s without a time-out, called from %s:%s: give it one (timeout=...), or set"
        " C2C_REQUESTS_DEFAULT_TIMEOUT (ini key c2c.requests_default_timeout)",
        *(request.method, urlsplit(request.url or "").hostname, *place),
    )
