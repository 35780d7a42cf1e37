"""statsd lines: ``prefix.a.b:12.345|ms|#tag:value``.

The format is that of https://github.com/statsd/statsd/blob/master/docs/metric_types.md, its tags and packed values
those of https://docs.datadoghq.com/developers/dogstatsd/datagram_shell.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from c2c_stats._identity import LONGEST, Identity

_NOT_KEY = re.compile(r"[^A-Za-z0-9_]")
_NOT_PREFIX = re.compile(r"[^A-Za-z0-9_.-]")
# The separators of the format, and all that str.splitlines takes for the end of a line.
_NOT_VALUE = re.compile("[,#|\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_TYPES = {"counter": b"|c", "gauge": b"|g", "timer": b"|ms"}
_ROOM_FOR_VALUE = 48
_SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class Wire:
    """What a series' lines begin and end with; the value comes between."""

    head: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """How lines look on one server: ``tags`` are the global ones, ``datagram`` the longest line in bytes."""

    prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    datagram: int = 1432
    multi_value: bool = False

    def wire(self, identity: Identity) -> Wire:
        """Return what the lines of a series begin and end with, short enough for a datagram."""
        prefix = _NOT_PREFIX.sub("_", self.prefix).strip(".")
        parts = [_NOT_KEY.sub("_", part) or "_" for part in identity.path]
        name = ".".join([prefix, *parts] if prefix else parts)[:LONGEST].rstrip(".")
        head = name.encode() + b":"
        pairs = {
            _NOT_KEY.sub("_", key) or "_": _NOT_VALUE.sub("_", value)[:LONGEST]
            for key, value in [*self.tags.items(), *identity.tags]
            if value
        }
        room = self.datagram - len(head) - _ROOM_FOR_VALUE
        tail = _tail(pairs)
        while len(tail) > room and pairs:
            longest = max(pairs, key=lambda key: len(pairs[key].encode("utf-8", "replace")))
            if pairs[longest]:
                pairs[longest] = pairs[longest][: len(pairs[longest]) // 2]
            else:
                del pairs[max(pairs, key=len)]
            tail = _tail(pairs)
        return Wire(head, _TYPES[identity.kind] + tail)

    def counter(self, wire: Wire, increment: float) -> bytes:
        """Return the line that adds to a counter."""
        return wire.head + number(increment) + wire.tail

    def gauge(self, wire: Wire, value: float) -> bytes:
        """Return the line, or the two, that set a gauge. One with a sign would change it by so much: set to 0 first."""
        line = wire.head + number(value) + wire.tail
        return wire.head + b"0" + wire.tail + b"\n" + line if value < 0 else line

    def timers(self, wire: Wire, seconds: Sequence[float]) -> list[tuple[bytes, int]]:
        """Return texts of one or more lines, each short enough for a datagram, with how many durations each has.

        Durations are in milliseconds with three decimals, never 0.
        """
        if not seconds:
            return []
        values = [one * 1000 for one in seconds]
        if min(values) < _SHORTEST:
            values = [max(one, _SHORTEST) for one in values]
        head, tail = wire.head.replace(b"%", b"%%"), wire.tail.replace(b"%", b"%%")
        longest = len(b"%.3f" % max(values)) + 1
        if self.multi_value:
            form, between = b"%.3f", b":"
            room = self.datagram - len(wire.head) - len(wire.tail)
        else:
            form, between = head + b"%.3f" + tail, b"\n"
            room = self.datagram + 1
            longest += len(wire.head) + len(wire.tail)
            head = tail = b""
        most = max(1, room // longest)
        # One formatting for a whole datagram takes half the time of one for each line.
        whole = head + between.join([form] * most) + tail
        texts: list[tuple[bytes, int]] = []
        for at in range(0, len(values), most):
            part = values[at : at + most]
            if len(part) < most:
                whole = head + between.join([form] * len(part)) + tail
            texts.append((whole % tuple(part), len(part)))
        return texts


def number(value: float) -> bytes:
    """Return a number without exponent: whole ones without a fraction."""
    if value == int(value):
        return b"%d" % int(value)
    return (b"%.9f" % value).rstrip(b"0").rstrip(b".")


def _tail(pairs: Mapping[str, str]) -> bytes:
    if not pairs:
        return b""
    return b"|#" + ",".join(f"{key}:{pairs[key]}" for key in sorted(pairs)).encode("utf-8", "replace")
