"""The three kinds of series, and how each is recorded: the path that every measured call takes.

A series keeps its numbers in ``cells``, a view of doubles in memory that is this process's own (private, or a file that
the others of the service read). One thread at a time runs Python code, and CPython changes threads at calls and
backward jumps only (the "eval breaker" of ceval.c); so ``cells[0] += 1``, which has neither between its read and its
write, loses nothing without a lock. For that reason each line below reads ``self.cells`` again, no line that changes it
calls a function, and what is added is a float or an integer: the addition of a Fraction is Python code.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from c2c_stats._identity import Identity
from c2c_stats._numbers import MOST, convert
from c2c_stats._timed_block import TimedBlock

if TYPE_CHECKING:
    from collections import deque

Tell = Callable[[Any, float], None]
"""Called with (series, value) after each record, where something wants every value at once."""

KEPT = 20_000
"""Values of a timer that wait for the next flush at most."""
BURST = 500
"""Values that wait when they are sent at once, by whoever records them."""


def _private(words: int) -> "memoryview[float]":
    return memoryview(bytearray(8 * words)).cast("d")


class Series:
    """What the three kinds share. ``tell`` is None unless each value has to go somewhere at once."""

    __slots__ = ("__weakref__", "cells", "identity", "tell", "wire")
    words = 1

    def __init__(self, identity: Identity, tell: Tell | None) -> None:
        self.identity = identity
        self.cells = _private(self.words)
        self.tell = tell
        self.wire: Any = None

    def zero(self) -> None:
        """Begin again with nothing recorded, in memory of this process."""
        self.cells = _private(self.words)

    def move(self, cells: "memoryview[float]") -> None:
        """Go on in other memory (all zero), with what was recorded. What other threads record meanwhile is kept."""
        old = self.cells
        self.cells = cells
        for index, value in enumerate(old):
            self.cells[index] += value


class Counter(Series):
    """A number that only grows; ``cells`` = (total,)."""

    __slots__ = ("cleared", "sent")

    def __init__(self, identity: Identity, tell: Tell | None) -> None:
        super().__init__(identity, tell)
        self.sent = 0.0
        self.cleared = 0.0

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

    def zero(self) -> None:
        """Begin again."""
        super().zero()
        self.sent = self.cleared = 0.0


class Gauge(Series):
    """The last value set; ``cells`` = (value, seconds since 1970 when it was set, 0 before)."""

    __slots__ = ("cleared", "sent")
    words = 2

    def __init__(self, identity: Identity, tell: Tell | None) -> None:
        super().__init__(identity, tell)
        self.sent = (0.0, 0.0)
        self.cleared = (0.0, 0.0)

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

    def zero(self) -> None:
        """Begin again."""
        super().zero()
        self.sent = self.cleared = (0.0, 0.0)

    def move(self, cells: "memoryview[float]") -> None:
        """Go on in other memory with the last value."""
        old = self.cells
        self.cells = cells
        if not cells[1]:
            cells[0], cells[1] = old


class Timer(Series):
    """Durations; ``cells`` = (sum in seconds, count in each bucket..., count above the last bound)."""

    __slots__ = ("bounds", "burst", "cleared", "kept", "least", "most", "seen")
    burst: "Callable[[Timer], None]"  # set where values are kept
    least: float
    most: float
    seen: float
    cleared: tuple[float, float]

    def __init__(self, identity: Identity, tell: Tell | None, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        super().__init__(identity, tell)
        self.kept: deque[float] | None = None
        self._begin()

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

    def time(self) -> TimedBlock:
        """Time a ``with`` block; one that raises is not recorded."""
        return TimedBlock(self.observe)

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
        self._begin()

    def _begin(self) -> None:
        self.least = math.inf
        self.most = 0.0
        self.seen = 0.0
        self.cleared = (0.0, 0.0)
