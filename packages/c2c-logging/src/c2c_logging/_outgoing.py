"""What outgoing HTTP calls carry, and the warning about those without a time-out."""

import logging
import sys
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from c2c_logging._context import current

_LOG = logging.getLogger("c2c_logging.requests")
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
