"""Where the id of a request comes from."""

import os
from collections.abc import Mapping
from typing import Any

from c2c_logging._clean import clean
from c2c_logging._trace import Trace

DEFAULT_HEADER = "X-Request-ID"
_HEADERS = (DEFAULT_HEADER, "X-Correlation-ID", "Request-ID", "X-Varnish", "X-Amzn-Trace-Id")


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


def new_id() -> str:
    """Return a new UUID, version 4 (RFC 9562), for a third of what ``uuid.uuid4`` costs."""
    digits = os.urandom(16).hex()
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def _amazon_root(value: str) -> str:
    """Return the ``Root`` of Amazon's ``Self=...;Root=1-...;Sampled=1``, the value itself without one."""
    for part in value.split(";"):
        name, _, root = part.partition("=")
        if name.strip().lower() == "root":
            return root
    return value
