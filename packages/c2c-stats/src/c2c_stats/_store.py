"""The table of all series of this process, bounded whatever clients send, and the ways to find one fast."""

import logging
import threading
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar
from weakref import WeakSet

from c2c_stats._notices import later, say
from c2c_stats._series import (
    OVERFLOW,
    Counter,
    Gauge,
    Identity,
    Kind,
    Series,
    Tell,
    Timer,
    identify,
    overflow,
)
from c2c_stats._settings import DEFAULT_BUCKETS

_MOST_SHORTCUTS = 10_000
_TAGS = object()  # stands between key and tags

_LOG = logging.getLogger(__name__)

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
            self.forget_shortcuts()
            self._table.clear()
            self._guard = Guard()
            for series in list(self._bound):
                if isinstance(series, Timer):
                    series.bounds = self._buckets
                    series.kept = None
                series.zero()
                series.wire = None
                self._equip(series)
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
