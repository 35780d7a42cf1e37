"""The three kinds of series, and how each is recorded: the path that every measured call takes.

A series keeps its numbers in ``cells``, a view of doubles in memory that is this process's own (private, or a file that
the others of the service read). One thread at a time runs Python code, and CPython changes threads at calls and
backward jumps only (the "eval breaker" of ceval.c); so ``cells[0] += 1``, which has neither between its read and its
write, loses nothing without a lock. For that reason each line below reads ``self.cells`` again, no line that changes it
calls a function, and what is added is a float or an integer: the addition of a Fraction is Python code.
"""

import logging
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from time import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections import deque

Kind = Literal["counter", "gauge", "timer"]
Pairs = tuple[tuple[str, str], ...]

LONGEST = 450
"""Characters of a part of a key, and of the value of a tag."""
MOST_PARTS = 20
OVERFLOW = "_overflow"


@dataclass(frozen=True, slots=True)
class Identity:
    """One series: as labels (Prometheus) and as path and tags (statsd, stats.json).

    An automatic metric without tags has its labels in its path: name ``("route",)``, labels ``(("method", "GET"),
    ...)``, path ``("route", "GET", "hello", "200")``, no tags. Everywhere else both ways are the same.
    """

    kind: Kind
    name: tuple[str, ...]
    labels: Pairs
    path: tuple[str, ...]
    tags: Pairs


def text_of(part: Any) -> str:
    """Return a part of a key, or a tag, as text: an enumeration's member by its value, which it is equal to."""
    if isinstance(part, Enum):
        part = part.value
    return str.__str__(part) if isinstance(part, str) else str(part)


def parts_of(path: Iterable[Any]) -> tuple[str, ...]:
    """Return the parts of a key as texts that are short enough; a text is a key of one part."""
    words = (path,) if isinstance(path, str) else path
    parts = tuple(text_of(part)[:LONGEST] for part in words)
    return parts[:MOST_PARTS] or ("_",)


def pairs_of(tags: Mapping[Any, Any] | None) -> Pairs:
    """Return tags as sorted pairs of texts; one without a value (None) is left out."""
    if not tags:
        return ()
    return tuple(sorted((text_of(k)[:LONGEST], text_of(v)[:LONGEST]) for k, v in tags.items() if v is not None))[
        :MOST_PARTS
    ]


def identify(kind: Kind, path: Iterable[Any], tags: Mapping[Any, Any] | None) -> Identity:
    """Return the identity of a series of the API."""
    parts, pairs = parts_of(path), pairs_of(tags)
    return Identity(kind, parts, pairs, parts, pairs)


def overflow(identity: Identity) -> Identity:
    """Return the series that takes what comes after a metric's last allowed one."""
    labels, tags = (tuple((name, OVERFLOW) for name, _ in pairs) for pairs in (identity.labels, identity.tags))
    path = identity.path if identity.path == identity.name else (*identity.name, OVERFLOW)
    return Identity(identity.kind, identity.name, labels, path, tags)


_LOG = logging.getLogger(__name__)

MOST = 1e300
"""The greatest number that is recorded: no sum of such ever becomes infinite."""


def convert(path: Sequence[str], record: Callable[[float], None], value: Any) -> None:
    """Record what is a number of another kind (Decimal, NumPy's); of anything else, say it to whoever looks for it."""
    try:
        if type(value) in {float, int} or isinstance(value, str | bytes | bytearray):
            raise TypeError("not a number")  # noqa: TRY301 # float() would read a text
        number = float(value)
    except Exception:  # noqa: BLE001 # anybody's object
        _LOG.debug("Metric %s: this is not a number: %s", ".".join(path), type(value), exc_info=True)
        return
    record(number)


Tell = Callable[[Any, float], None]
"""Called with (series, value) after each record, where something wants every value at once."""

KEPT = 20_000
"""Values of a timer that wait for the next flush at most."""
BURST = 500
"""Values that wait when they are sent at once, by whoever records them."""


class Series:
    """What the three kinds share. ``tell`` is None unless each value has to go somewhere at once.

    ``sent`` and ``cleared`` are what statsd and stats.json have taken of it; ``wire`` is statsd's.
    """

    __slots__ = ("__weakref__", "cells", "cleared", "identity", "sent", "tell", "wire")
    words = 1
    nothing: Any = 0.0
    bounds: tuple[float, ...] = ()

    def __init__(self, identity: Identity, tell: Tell | None) -> None:
        self.identity = identity
        self.tell = tell
        self.wire: Any = None
        self.zero()

    def zero(self) -> None:
        """Begin again with nothing recorded, in memory of this process."""
        self.cells = memoryview(bytearray(8 * self.words)).cast("d")
        self.sent = self.cleared = self.nothing

    def move(self, cells: "memoryview[float]") -> None:
        """Go on in other memory (all zero), with what was recorded. What other threads record meanwhile is kept."""
        old = self.cells
        self.cells = cells
        for index, value in enumerate(old):
            self.cells[index] += value


class Counter(Series):
    """A number that only grows; ``cells`` = (total,)."""

    __slots__ = ()

    def inc(self, increment: float = 1) -> None:
        """Add ``increment``: a number >= 0; anything else changes nothing."""
        try:
            if increment.__class__ is not int and increment.__class__ is not float:
                raise TypeError("to be converted")  # noqa: TRY301 # an addition in Python would let other threads in
            if not 0 <= increment <= MOST:
                return
            self.cells[0] += increment
        except Exception:  # noqa: BLE001 # anybody's object
            convert(self.identity.path, self.inc, increment)
            return
        if self.tell is not None:
            self.tell(self, increment)


class Gauge(Series):
    """The last value set; ``cells`` = (value, seconds since 1970 when it was set, 0 before)."""

    __slots__ = ()
    words = 2
    nothing = (0.0, 0.0)

    def set(self, value: float) -> None:
        """Keep ``value``, a finite number; anything else, NaN too, changes nothing."""
        try:
            if not -MOST <= value <= MOST:
                return
            self.cells[0] = value
        except Exception:  # noqa: BLE001 # anybody's object
            convert(self.identity.path, self.set, value)
            return
        self.cells[1] = time()
        if self.tell is not None:
            self.tell(self, value)

    def move(self, cells: "memoryview[float]") -> None:
        """Go on in other memory with the last value."""
        old = self.cells
        self.cells = cells
        if not cells[1]:
            cells[0], cells[1] = old


class Timer(Series):
    """Durations; ``cells`` = (sum in seconds, count in each bucket..., count above the last bound).

    ``kept`` are the values that wait for statsd, ``burst`` takes them when they are many.
    """

    __slots__ = ("bounds", "burst", "kept", "least", "most")
    nothing = (0.0, 0.0)
    burst: "Callable[[Timer], None]"  # set where values are kept
    least: float
    most: float

    def __init__(self, identity: Identity, tell: Tell | None, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.kept: deque[float] | None = None
        super().__init__(identity, tell)

    @property
    def words(self) -> int:  # type: ignore[override] # of this one instance: its buckets are settable
        """How many numbers it keeps."""
        return len(self.bounds) + 2

    def observe(self, seconds: float) -> None:
        """Record one duration in seconds: a finite number >= 0; anything else changes nothing."""
        try:
            if seconds.__class__ is not float and seconds.__class__ is not int:
                raise TypeError("to be converted")  # noqa: TRY301 # as above
            if not self.least <= seconds <= self.most and not self._extreme(seconds):
                return
            self.cells[0] += seconds
        except Exception:  # noqa: BLE001 # anybody's object
            convert(self.identity.path, self.observe, seconds)
            return
        bucket = 1 + bisect_left(self.bounds, seconds)
        self.cells[bucket] += 1
        kept = self.kept
        if kept is not None:
            kept.append(seconds)
            if len(kept) >= BURST:
                self.burst(self)
        if self.tell is not None:
            self.tell(self, seconds)

    def _extreme(self, seconds: float) -> bool:
        """Note the shortest or longest duration so far; False where it is none at all."""
        if not 0 <= seconds <= MOST:
            return False
        # min() and max() are calls, during which another thread could write what is written over here.
        if seconds < self.least:  # noqa: PLR1730
            self.least = seconds
        if seconds > self.most:  # noqa: PLR1730
            self.most = seconds
        return True

    def count(self) -> float:
        """Return how many durations were recorded."""
        return sum(self.cells[1:])

    def zero(self) -> None:
        """Begin again."""
        super().zero()
        if self.kept is not None:
            self.kept.clear()
        self.least, self.most = math.inf, 0.0
