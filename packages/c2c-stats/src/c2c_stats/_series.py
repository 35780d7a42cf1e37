"""The three kinds of series, how each is recorded, and the bounded table of all of them.

A series keeps its numbers in ``cells``, a view of doubles in memory that is this process's own (private, or a file that
the others of the service read). One thread at a time runs Python code, and CPython changes threads at calls and
backward jumps only (the "eval breaker" of ceval.c); so ``cells[0] += 1``, which has neither between its read and its
write, loses nothing without a lock. For that reason each line below reads ``self.cells`` again, no line that changes it
calls a function, and what is added is a float or an integer: the addition of a Fraction is Python code.
"""

import logging
import math
import threading
from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from time import time
from typing import Any, Literal, TypeVar
from weakref import WeakSet

from c2c_stats._notices import later, say
from c2c_stats._settings import DEFAULT_BUCKETS

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


_MOST_SHORTCUTS = 10_000
_TAGS = object()  # stands between key and tags

MOST_SERIES = 1000
"""Series of one metric."""
MOST_NAMES = 1000
"""Metrics of one kind."""


class Guard:
    """Admit series up to the limits; what comes then shares one overflow series a metric, said once (by ``say``)."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[Kind, tuple[str, ...]], set[Identity]] = {}
        self._names: Tally[Kind] = Tally()
        self._said: set[object] = set()

    def admit(self, identity: Identity) -> Identity:
        """Return the identity to use: the same one, or an overflow."""
        metric = (identity.kind, identity.name)
        known = self._metrics.get(metric)
        if known is None:
            if self._names[identity.kind] >= MOST_NAMES:
                text = "More than %s %ss: %r and all later ones are counted as one; put what varies into a tag"
                self._say(identity.kind, text, MOST_NAMES, identity.kind, ".".join(identity.name)[:100])
                return Identity(identity.kind, (OVERFLOW,), (), (OVERFLOW,), ())
            self._names[identity.kind] += 1
            known = self._metrics[metric] = set()
        if identity in known:
            return identity
        if len(known) >= MOST_SERIES:
            if identity.name not in self._said:
                values = Tally(label for label, _ in {pair for one in known for pair in one.labels})
                varied = max(values, key=values.__getitem__, default="")
                text = "Metric %s has more than %s series because of its tag %r: later ones are one overflow series"
                self._say(identity.name, text, ".".join(identity.name)[:100], MOST_SERIES, varied)
            return overflow(identity)
        known.add(identity)
        return identity

    def _say(self, what: object, message: str, *arguments: object) -> None:
        if what not in self._said:
            self._said.add(what)
            later(_LOG, message, *arguments)


Place = Callable[[Series], "memoryview[float] | None"]
"""Gives as many doubles, all zero, as a series has; None where there is no more room."""

_S = TypeVar("_S", bound=Series)


class Store:
    """All series of this process. ``on`` tells whether anything reads them: if not, the API does nothing.

    ``use_tags`` and ``by_engine`` tell how automatic metrics are called: statements may have their engine's name.
    ``counter``, ``gauge`` and ``timer`` return the series of ``(path, tags=None)``.
    """

    counter: Callable[..., Counter]
    gauge: Callable[..., Gauge]
    timer: Callable[..., Timer]

    def __init__(self) -> None:
        self.on = False
        self.use_tags = False
        self.by_engine = False
        self.shortcuts: dict[Any, Any] = {}
        self._known: dict[Kind, dict[Any, Any]] = {}
        self.counter, self.gauge, self.timer = self._finder("counter"), self._finder("gauge"), self._finder("timer")
        self._buckets: tuple[float, ...] = DEFAULT_BUCKETS
        self._table: dict[Identity, Series] = {}
        self._bound: WeakSet[Series] = WeakSet()
        self._guard = Guard()
        self._lock = threading.RLock()
        self._tell: Tell | None = None
        self._place: Place | None = None
        self._burst: Callable[[Timer], None] | None = None
        self._misused = False

    # -- finding ----------------------------------------------------------------------------------------------------

    def _finder(self, kind: Kind) -> Callable[..., Any]:
        known = self._known[kind] = {}

        def find(path: Iterable[Any], tags: Mapping[Any, Any] | None = None) -> Any:
            try:
                if path.__class__ is str:
                    path = (path,)
                return known[(*path, _TAGS, *tags.items()) if tags else tuple(path)]
            except Exception:  # noqa: BLE001 # not known yet, or not to be looked up by
                return self._look_up(kind, path, tags)

        return find  # a method would take a tenth more

    def _look_up(self, kind: Kind, path: Iterable[Any], tags: Mapping[Any, Any] | None) -> Series:
        try:
            identity = identify(kind, path, tags)
        except Exception:  # noqa: BLE001 # a call that measures must not break what it measures
            if not self._misused:
                self._misused = True
                _LOG.warning("A metric whose key is not a sequence, or whose tags are not a mapping", exc_info=True)
            return self.series(Identity(kind, ("_",), (), ("_",), ()))
        found = self.series(identity)
        # By texts only: 1, 1.0 and True are one to a dict.
        pairs = tuple(tags.items()) if isinstance(tags, dict) else () if not tags else None
        if pairs is not None and found.identity == identity:
            words = [*path, *(word for pair in pairs for word in pair)]
            if all(type(word) is str for word in words):
                self.remember((*path, _TAGS, *pairs) if pairs else tuple(path), found, self._known[kind])
        return found

    def bind(self, series: _S) -> _S:
        """Keep a series valid for as long as someone holds it, whatever is configured later."""
        self._bound.add(series)
        return series

    def series(self, identity: Identity) -> Series:
        """Return the one series of an identity, made at the first call."""
        found = self._table.get(identity)
        if found is not None:
            return found
        with self._lock:
            identity = self._guard.admit(identity)
            found = self._table.get(identity)
            if found is None:
                if identity.kind == "timer":
                    found = Timer(identity, self._tell, self._buckets)
                else:
                    found = (Counter if identity.kind == "counter" else Gauge)(identity, self._tell)
                self._equip(found)
                self._table[identity] = found
        say()
        return found

    def all(self) -> list[Series]:
        """Return all series, a list that does not change."""
        return list(self._table.values())

    def remember(self, shortcut: Hashable, found: Any, known: dict[Any, Any] | None = None) -> None:
        """Keep what a shortcut leads to, for as long as the configuration stays; bounded."""
        known = self.shortcuts if known is None else known
        if len(known) >= _MOST_SHORTCUTS:
            known.clear()
        known[shortcut] = found

    def forget_shortcuts(self) -> None:
        """Have every series looked up anew."""
        for known in (self.shortcuts, *self._known.values()):
            known.clear()

    # -- equipping --------------------------------------------------------------------------------------------------

    def equip(self, *, tell: Tell | None, place: Place | None, burst: Callable[[Timer], None] | None) -> None:
        """Say where all series, these and later ones, have their memory and whom they tell.

        ``place`` gives memory that other processes read; ``burst`` takes the values of a timer that
        became many: timers keep their values.
        """
        with self._lock:
            moved = place is not None and place != self._place
            self._tell, self._place, self._burst = tell, place, burst
            for series in self.all():
                self._equip(series, moved=moved)

    def set_buckets(self, buckets: tuple[float, ...]) -> None:
        """Set the upper bounds of timers' histograms, in seconds: of later ones, and of those without records."""
        with self._lock:
            self._buckets = buckets
            for series in self.all():
                if isinstance(series, Timer) and series.bounds != buckets and not series.count():
                    series.bounds = buckets
                    series.zero()
                    self._equip(series)

    def _equip(self, series: Series, *, moved: bool = True) -> None:
        if isinstance(series, Timer):
            if self._burst is None:
                series.kept = None
            else:
                series.burst = self._burst
                if series.kept is None:
                    series.kept = deque()
        if moved and self._place is not None:
            cells = self._place(series)
            if cells is not None:
                series.move(cells)
        series.tell = self._tell

    def clear(self) -> None:
        """Forget all series; those that someone holds begin again."""
        with self._lock:
            self._table.clear()
            self._guard = Guard()
            for series in list(self._bound):
                series.zero()
                self._guard.admit(series.identity)
                self._table[series.identity] = series

    def forked(self, tell: Tell | None) -> None:
        """Begin again in a forked process: what was recorded before is the parent's."""
        self._lock = threading.RLock()
        self._place = None
        self._tell = tell
        for series in self.all():
            series.zero()
            series.tell = tell
