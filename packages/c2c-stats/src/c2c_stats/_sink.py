"""The metrics sink of this process: one table of series, built from settings, alive again after each fork."""

import logging
import os
import threading
from collections import UserDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakSet

from c2c_broadcast.process import at_exit, at_fork
from c2c_stats._series import NOTICES, Counter, Gauge, Guard, Identity, Kind, Series, Tell, Timer, identify, later, say
from c2c_stats._settings import SIX, StatsSettings

# Gives as many doubles, all zero, as a series has; None where there is no more room.
Place = Callable[[Series], "memoryview[float] | None"]


class Backends(UserDict[str, Any]):
    """Name -> backend; true when one is on. One that is added here gets every value as it is recorded.

    A backend has ``timer``, ``gauge`` and ``counter``, called with a key (a sequence of parts), a number (a duration is
    in seconds) and tags (a mapping or None).
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def __setitem__(self, name: str, backend: Any) -> None:
        super().__setitem__(name, backend)
        self._changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed()


_LOG = logging.getLogger(__name__)
_RETRY = 5.0  # seconds
_MOST_SHORTCUTS = 10_000
_S = TypeVar("_S", bound=Series)
_TAGS = object()  # stands between key and tags


def _teller(backend: Any) -> Tell:
    """Return what hands every value to a backend of the user's; one that raises is logged once."""
    failed: list[bool] = []

    def tell(series: Series, value: float) -> None:
        key, tags = list(series.identity.path), dict(series.identity.tags) or None
        try:
            getattr(backend, series.identity.kind)(key, value, tags)
        except Exception:  # noqa: BLE001 # the user's code, in the middle of a request
            if not failed:
                failed.append(True)
                _LOG.warning("The metrics backend %r fails", backend, exc_info=True)

    return tell


class BuiltIn:
    """A backend of ours. All of them read one store, so that a call records once: through any, to all.

    ``place`` gives the series their memory, ``burst`` takes a timer's values when they are many, where each one is
    wanted, ``tell`` takes every value as it is recorded; each is None where it is not wanted.
    """

    place: Place | None = None
    burst: Callable[[Timer], None] | None = None
    tell: Tell | None = None

    def __init__(self, store: "Sink") -> None:
        self._store = store

    def timer(self, key: Sequence[Any], duration: float, tags: Mapping[str, Any] | None = None) -> None:
        self._store.timer(key, tags).observe(duration)

    def gauge(self, key: Sequence[Any], value: float, tags: Mapping[str, Any] | None = None) -> None:
        self._store.gauge(key, tags).set(value)

    def counter(self, key: Sequence[Any], increment: float = 1, tags: Mapping[str, Any] | None = None) -> None:
        self._store.counter(key, tags).inc(increment)

    def start(self) -> None:
        """Open files and start threads, in the process that records; nothing where that is done."""

    def stop(self) -> None:
        """Hand over what is recorded and let go of threads; waits a bounded time, called without a lock."""

    def close(self) -> None:
        """Undo all, for good."""

    def forked(self) -> None:
        """Forget, in a forked process, what is the parent's."""


class Sink:
    """All series, what exports them, and when that starts: with the first record of a process, never before a fork.

    ``on`` tells whether anything reads them: if not, the API does nothing. ``use_tags`` and ``by_engine`` tell how
    automatic metrics are called: statements may have their engine's name. ``counter``, ``gauge`` and ``timer`` return
    the series of ``(path, tags=None)``.
    """

    def __init__(self) -> None:
        self.on = self.use_tags = self.by_engine = self.configured = False
        self.settings = StatsSettings()
        self.backends = Backends(self._changed)
        self.shortcuts: dict[Any, Any] = {}
        self._known: dict[Kind, dict[Any, Any]] = {}
        self.counter: Callable[..., Counter] = self._finder("counter")
        self.gauge: Callable[..., Gauge] = self._finder("gauge")
        self.timer: Callable[..., Timer] = self._finder("timer")
        self._table: dict[Identity, Series] = {}
        self._bound: WeakSet[Series] = WeakSet()
        self._guard = Guard()
        self._misused = False
        self.exporters: dict[str, Any] = {}  # memory, statsd, prometheus
        self._failed: set[str] = set()
        self._retry = 0.0
        self._started = False
        self._told: list[Tell] = []
        self._each: Tell | None = None
        self._place: Place | None = None
        self._burst: Callable[[Timer], None] | None = None
        self._lock = threading.RLock()

    def install(self, settings: StatsSettings, exporters: Mapping[str, BuiltIn], *, clear: bool) -> None:
        """Use these settings and exporters from now on; ``clear`` forgets what was recorded and what else was on."""
        self.stop()
        with self._lock:
            if not self.configured:
                self.configured = True
                os.register_at_fork(before=self.stop)
                at_fork(self)
            self.settings = settings
            self.use_tags, self.by_engine = settings.statsd_use_tags, settings.prometheus_names == SIX
            for known in (self.shortcuts, *self._known.values()):
                known.clear()
            if clear:
                for exporter in self.exporters.values():
                    exporter.close()
                self.exporters.clear()
                self.backends.clear()
                self._table.clear()
                self._guard = Guard()
                for series in list(self._bound):
                    series.zero()
                    self._guard.admit(series.identity)
                    self._table[series.identity] = series
            self._started, self._retry = False, 0.0  # whoever records next starts what is new
            self.exporters.update(exporters)
            self.backends.update(exporters)
            self._changed()

    def start(self) -> None:
        """Open what the exporters need, in this process; what can't be opened is said once, and tried again later."""
        with self._lock:
            if self._started or monotonic() < self._retry:
                return
            self._started = True
            at_exit(self)
            for one in self.exporters.items():
                self._open(*one)
            self._changed()
        say()

    def _open(self, name: str, exporter: BuiltIn) -> None:
        try:
            exporter.start()
            self._failed.discard(name)
        except Exception as error:  # noqa: BLE001 # what measures must not break what it measures
            self._started, self._retry = False, monotonic() + _RETRY
            if name not in self._failed:
                self._failed.add(name)
                later(_LOG, "Metrics: %s can't be started", name, error=error)

    def stop(self) -> None:
        """Hand over what is recorded; the next record starts all again."""
        with self._lock:
            if not self._started:
                return
            self._started = False
            self._changed()
            stopped = self.exporters.copy()
        for exporter in stopped.values():
            exporter.stop()
        # Another thread may have recorded meanwhile, and started what was just about to stop.
        for one in stopped.items() if self._started else ():
            self._open(*one)
        say()

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
                    found = Timer(identity, self._each, self.settings.prometheus_buckets)
                else:
                    found = (Counter if identity.kind == "counter" else Gauge)(identity, self._each)
                self._equip(found)
                self._table[identity] = found
        say()
        return found

    def all(self) -> list[Series]:
        return list(self._table.values())

    def remember(self, shortcut: Hashable, found: Any, known: dict[Any, Any] | None = None) -> None:
        """Keep what a shortcut leads to, for as long as the configuration stays; bounded."""
        known = self.shortcuts if known is None else known
        if len(known) >= _MOST_SHORTCUTS:
            known.clear()
        known[shortcut] = found

    # -- telling ----------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Tell all series, these and later ones, where they have their memory and whom they tell."""
        with self._lock:
            self.on = bool(self.backends)
            exporters = list(self.exporters.values())
            added = [backend for name, backend in list(self.backends.items()) if name not in self.exporters]
            self._told = [one.tell for one in exporters if one.tell] + [_teller(one) for one in added]
            tell = self._tell if len(self._told) > 1 else next(iter(self._told), None)
            self._each = tell if self._started else self._first
            self._burst = next((one.burst for one in exporters if one.burst), None)
            place = next((one.place for one in exporters if one.place), None)
            moved, self._place = place is not None and place != self._place, place
            for series in self.all():
                self._equip(series, moved=moved)

    def _equip(self, series: Series, *, moved: bool = True) -> None:
        if isinstance(series, Timer):
            if series.bounds != self.settings.prometheus_buckets and not series.count():
                series.bounds, moved = self.settings.prometheus_buckets, True
                series.zero()
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
        series.tell = self._each

    def _tell(self, series: Series, value: float) -> None:
        for tell in self._told:
            tell(series, value)

    def _first(self, series: Series, value: float) -> None:
        """Take the first record of a process: start, then let it go the way of all later ones."""
        self.start()
        # Not the series' own: another thread may just be starting, and has not told it yet.
        self._tell(series, value)

    # -- forks ------------------------------------------------------------------------------------------------------

    def at_exit(self) -> None:
        self.stop()
        self.on = False

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self._started, self._retry = False, 0.0
        NOTICES.clear()  # whose parent says them
        for exporter in self.exporters.values():
            exporter.forked()
        self._place, self._each = None, self._first
        for series in self.all():
            series.zero()
            series.tell = self._first


SINK = Sink()
"""The one of this process, as the root logger is: off until configured."""
