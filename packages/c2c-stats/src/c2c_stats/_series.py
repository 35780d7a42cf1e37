"""The three kinds of series, how each is recorded, and how many there may be.

A series keeps its numbers in ``cells``, a view of doubles in memory that is this process's own (private, or a file that
the others of the service read). One thread at a time runs Python code, and CPython changes threads at calls and
backward jumps only (the "eval breaker" of ceval.c); so ``cells[0] += 1``, which has neither between its read and its
write, loses nothing without a lock. For that reason each line below reads ``self.cells`` again, no line that changes it
calls a function, and what is added is a float or an integer: the addition of a Fraction is Python code.
"""

import contextlib
import logging
import math
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from time import time
from typing import Any, Literal

Kind = Literal["counter", "gauge", "timer"]
Pairs = tuple[tuple[str, str], ...]

LONGEST = 450  # characters of a part of a key, and of the value of a tag
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


_LOG = logging.getLogger(__name__)
NOTICES: "deque[tuple[logging.Logger, str, tuple[Any, ...], Any]]" = deque(maxlen=100)


def later(logger: logging.Logger, message: str, *arguments: Any, error: BaseException | None = None) -> None:
    """Keep a warning, found under a lock, for the next ``say``; with the traceback of an error where one is given."""
    NOTICES.append((logger, message, arguments, error))


def say() -> None:
    """Log what waits. Only for callers that hold no lock of ours: a logging handler may itself need it."""
    with contextlib.suppress(IndexError):  # all is said
        while True:
            logger, message, arguments, error = NOTICES.popleft()
            logger.warning(message, *arguments, exc_info=error)


MOST = 1e300  # the greatest number that is recorded: no sum of such ever becomes infinite


def number_of(value: Any) -> float:
    """Return a number of another kind (Decimal, NumPy's); NaN for anything else, a text too."""
    with contextlib.suppress(Exception):  # anybody's object
        return math.nan if isinstance(value, str | bytes | bytearray) else float(value)
    return math.nan


# Called with (series, value) after each record, where something wants every value at once.
Tell = Callable[[Any, float], None]
KEPT = 20_000  # values of a timer that wait for the next flush at most
BURST = 500  # values that wait when they are sent at once, by whoever records them


class Series:
    """What the three kinds share. ``tell`` is None unless each value has to go somewhere at once.

    ``sent`` and ``cleared`` are what statsd and stats.json have taken of it; ``wire`` is statsd's.
    """

    __slots__ = ("__weakref__", "cells", "cleared", "identity", "sent", "tell", "wire")
    fixed = 1
    nothing: Any = 0.0
    bounds: tuple[float, ...] = ()

    def __init__(self, identity: Identity, tell: Tell | None) -> None:
        self.identity = identity
        self.tell = tell
        self.wire: Any = None
        self.zero()

    def zero(self) -> None:
        """Begin again with nothing recorded, in memory of this process."""
        self.cells = memoryview(bytearray(8 * (self.fixed + len(self.bounds)))).cast("d")
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
        if increment.__class__ is not int and increment.__class__ is not float:
            increment = number_of(increment)  # its addition in Python would let other threads in
        if 0 <= increment <= MOST:
            self.cells[0] += increment
            if self.tell is not None:
                self.tell(self, increment)


class Gauge(Series):
    """The last value set; ``cells`` = (value, seconds since 1970 when it was set, 0 before)."""

    __slots__ = ()
    fixed = 2
    nothing = (0.0, 0.0)

    def set(self, value: float) -> None:
        """Keep ``value``, a finite number; anything else, NaN too, changes nothing."""
        if value.__class__ is not float and value.__class__ is not int:
            value = number_of(value)
        if -MOST <= value <= MOST:
            self.cells[0] = value
            self.cells[1] = time()
            if self.tell is not None:
                self.tell(self, value)

    def move(self, cells: "memoryview[float]") -> None:
        old = self.cells
        self.cells = cells
        if not cells[1]:
            cells[0], cells[1] = old


class Timer(Series):
    """Durations; ``cells`` = (sum in seconds, count in each bucket..., count above the last bound).

    ``kept`` are the values that wait for statsd, ``burst`` takes them when they are many.
    """

    __slots__ = ("bounds", "burst", "kept", "least", "most")
    fixed = 2
    nothing = (0.0, 0.0)
    burst: "Callable[[Timer], None]"  # set where values are kept
    least: float
    most: float

    def __init__(self, identity: Identity, tell: Tell | None, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.kept: deque[float] | None = None
        super().__init__(identity, tell)

    def observe(self, seconds: float) -> None:
        """Record one duration in seconds: a finite number >= 0; anything else changes nothing."""
        if seconds.__class__ is not float and seconds.__class__ is not int:
            seconds = number_of(seconds)
        if not self.least <= seconds <= self.most:
            if not 0 <= seconds <= MOST:
                return
            # min() and max() are calls, during which another thread could write what is written over here.
            if seconds < self.least:  # noqa: PLR1730
                self.least = seconds
            if seconds > self.most:  # noqa: PLR1730
                self.most = seconds
        self.cells[0] += seconds
        bucket = 1 + bisect_left(self.bounds, seconds)
        self.cells[bucket] += 1
        kept = self.kept
        if kept is not None:
            kept.append(seconds)
            if len(kept) >= BURST:
                self.burst(self)
        if self.tell is not None:
            self.tell(self, seconds)

    def count(self) -> float:
        return sum(self.cells[1:])

    def zero(self) -> None:
        super().zero()
        if self.kept is not None:
            self.kept.clear()
        self.least, self.most = math.inf, 0.0


MOST_SERIES = 1000  # of one metric
MOST_NAMES = 1000  # metrics of one kind


class Guard:
    """Admit series up to the limits; what comes then shares one overflow series a metric, said once (by ``say``)."""

    def __init__(self) -> None:
        self._known: defaultdict[object, set[Any]] = defaultdict(set)
        self._said: set[object] = set()

    def admit(self, identity: Identity) -> Identity:
        """Return the identity to use: the same one, or an overflow."""
        kind, name = identity.kind, identity.name
        if not self._takes(kind, name, MOST_NAMES):
            if kind not in self._said:
                self._said.add(kind)
                text = "More than %s %ss: %r and all later ones are counted as one; put what varies into a tag"
                later(_LOG, text, MOST_NAMES, kind, ".".join(name)[:100])
            return Identity(kind, (OVERFLOW,), (), (OVERFLOW,), ())
        if not self._takes((kind, name), identity, MOST_SERIES):
            if name not in self._said:
                self._said.add(name)
                values = Tally(label for label, _ in {pair for one in self._known[kind, name] for pair in one.labels})
                varied = max(values, key=values.__getitem__, default="")
                text = "Metric %s has more than %s series because of its tag %r: later ones are one overflow series"
                later(_LOG, text, ".".join(name)[:100], MOST_SERIES, varied)
            labels, tags = (tuple((label, OVERFLOW) for label, _ in of) for of in (identity.labels, identity.tags))
            path = identity.path if identity.path == identity.name else (*name, OVERFLOW)
            return Identity(kind, name, labels, path, tags)
        return identity

    def _takes(self, of: object, one: object, most: int) -> bool:
        known = self._known[of]
        if len(known) < most:
            known.add(one)
        return one in known
