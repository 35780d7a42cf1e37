"""Where the id of a request comes from."""

import os
from collections.abc import Mapping
from typing import Any

from c2c_logging._clean import clean
from c2c_logging._trace import Trace

DEFAULT_HEADER = "X-Request-ID"
_HEADERS = (DEFAULT_HEADER, "X-Correlation-ID", "Request-ID", "X-Varnish", "X-Amzn-Trace-Id")

_AT_ONCE = 64
_FORM = b"00000000-0000-4000-0000-000000000000 "
_VARIANT_PLACE = 19
# All of one digit and two bits of another say which kind of UUID it is (RFC 9562, 4.1).
_KIND_PLACE = _FORM.index(b"4")
_ALL_PLACES = [place for place, char in enumerate(_FORM) if char not in b"- "]
_PLACES = tuple((at, place) for at, place in enumerate(_ALL_PLACES) if place != _KIND_PLACE)
_VARIANT = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)


class IdSources:
    """The headers that may bring a request id, in their order.

    ``header`` is the one under which it is sent on, ``sql`` whether SQL sessions carry it, ``timeout`` the seconds
    that outgoing calls have by default.
    """

    __slots__ = ("_all", "_keys", "header", "sql", "timeout")

    def __init__(self, header: str | None = None, *, sql: bool = False, timeout: float | None = None) -> None:
        self.header = header or DEFAULT_HEADER
        self.sql = sql
        self.timeout = timeout
        names = dict.fromkeys(name.upper().replace("-", "_") for name in (self.header, *_HEADERS))
        self._keys = tuple(f"HTTP_{name}" for name in names)
        self._all = (*self._keys, "HTTP_TRACEPARENT")

    def find(self, environ: Mapping[str, Any]) -> str | None:
        """Return the cleaned id that a WSGI environ brings, None without one."""
        if environ.keys().isdisjoint(self._all):
            return None
        for key in self._keys:
            value = environ.get(key)
            if value and (found := clean(_amazon_root(value) if key == "HTTP_X_AMZN_TRACE_ID" else value)):
                return found
        traceparent = environ.get("HTTP_TRACEPARENT")
        trace = Trace.parse(traceparent) if traceparent else None
        return trace.trace_id if trace else None


class _Ready:
    """Ids made in advance, by one look at the kernel's random numbers; a forked process has its own."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._hooked = False

    def take(self) -> str:
        """Return an id that nobody else gets: a list gives each of its items to one thread."""
        try:
            return self._ids.pop()
        except IndexError:
            if not self._hooked:
                self._hooked = True
                os.register_at_fork(after_in_child=self._ids.clear)
            first, *others = _make(_AT_ONCE)
            self._ids += others
            return first


def _make(count: int) -> list[str]:
    """Return so many ids. One slice places a digit of all of them: an id costs a tenth of formatting it."""
    digits = os.urandom(16 * count).hex().encode()
    text = bytearray(_FORM * count)
    for at, place in _PLACES:
        text[place :: len(_FORM)] = digits[at::32]
    text[_VARIANT_PLACE :: len(_FORM)] = digits[16::32].translate(_VARIANT)
    return text.decode().split()


new_id = _Ready().take
"""Return a new UUID, version 4 (RFC 9562), for a tenth of what ``uuid.uuid4`` costs."""


def _amazon_root(value: str) -> str:
    """Return the ``Root`` of Amazon's ``Self=...;Root=1-...;Sampled=1``, the value itself without one."""
    for part in value.split(";"):
        name, _, root = part.partition("=")
        if name.strip().lower() == "root":
            return root
    return value
