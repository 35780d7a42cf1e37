"""The metrics sink of this process: one object, built from settings, alive again after each fork."""

import logging
import os
import threading
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from c2c_broadcast.process import at_exit, at_fork
from c2c_stats._notices import forget, later, say
from c2c_stats._series import Place, Series, Store, Tell, Timer
from c2c_stats._settings import SIX, StatsSettings


class Backend(Protocol):
    """Where metrics go. ``key`` is a sequence of parts, ``tags`` a mapping or None, a duration is in seconds."""

    def timer(self, key: Sequence[Any], duration: float, tags: Mapping[str, Any] | None = None) -> None: ...

    def gauge(self, key: Sequence[Any], value: float, tags: Mapping[str, Any] | None = None) -> None: ...

    def counter(self, key: Sequence[Any], increment: float, tags: Mapping[str, Any] | None = None) -> None: ...


class Backends(UserDict[str, Backend]):
    """Name -> backend; true when one is on. One that is added here gets every value as it is recorded."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def __setitem__(self, name: str, backend: Backend) -> None:
        super().__setitem__(name, backend)
        self._changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed()


_LOG = logging.getLogger(__name__)
_RETRY = 5.0  # seconds


def _teller(backend: Backend) -> Tell:
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

    def __init__(self, store: Store) -> None:
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
    """The store, what exports it, and when that starts: with the first record of a process, never before a fork."""

    def __init__(self) -> None:
        self.settings = StatsSettings()
        self.store = Store()
        self.backends = Backends(self._changed)
        self._exporters: dict[str, BuiltIn] = {}
        self._failed: set[str] = set()
        self._retry = 0.0
        self._started = False
        self._lock = threading.RLock()
        self.configured = False
        self._told: list[Tell] = []

    def install(self, settings: StatsSettings, exporters: Mapping[str, BuiltIn], *, clear: bool) -> None:
        """Use these settings and exporters from now on; ``clear`` forgets what was recorded and what else was on."""
        self.stop()
        with self._lock:
            if not self.configured:
                self.configured = True
                os.register_at_fork(before=self.stop)
                at_fork(self)
            self.settings = settings
            self.store.use_tags = settings.statsd_use_tags
            self.store.by_engine = settings.prometheus_names == SIX
            if clear:
                for exporter in self._exporters.values():
                    exporter.close()
                self._exporters.clear()
                self.backends.clear()
                self.store.equip(tell=None, place=None, burst=None)
                self.store.clear()
            self.store.set_buckets(settings.prometheus_buckets)
            self.store.forget_shortcuts()
            self._started, self._retry = False, 0.0  # whoever records next starts what is new
            self._exporters.update(exporters)
            for name in exporters:
                self.backends[name] = exporters[name]
            self._changed()

    def start(self) -> None:
        """Open what the exporters need, in this process; nothing where that is done. Never raises.

        What can't be opened is said once, and tried again some seconds later.
        """
        with self._lock:
            if self._started or monotonic() < self._retry:
                return
            self._started = True
            at_exit(self)
            if sum(self._open(*one) for one in self._exporters.items()) < len(self._exporters):
                self._started, self._retry = False, monotonic() + _RETRY
            self._changed()
        say()

    def _open(self, name: str, exporter: BuiltIn) -> bool:
        try:
            exporter.start()
        except Exception as error:  # noqa: BLE001 # what measures must not break what it measures
            if name not in self._failed:
                self._failed.add(name)
                later(_LOG, "Metrics: %s can't be started", name, error=error)
            return False
        self._failed.discard(name)
        return True

    def stop(self) -> None:
        """Hand over what is recorded; the next record starts all again."""
        with self._lock:
            if not self._started:
                return
            self._started = False
            self._changed()
            stopped = self._exporters.copy()
        for exporter in stopped.values():
            exporter.stop()
        # Another thread may have recorded meanwhile, and started what was just about to stop.
        for one in stopped.items() if self._started else ():
            self._open(*one)
        say()

    def exporter(self, name: str) -> Any:
        """Return what exports to ``memory``, ``statsd`` or ``prometheus``; None where that is off."""
        return self._exporters.get(name)

    # -- telling ----------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Tell the store what its series have to do."""
        with self._lock:
            self.store.on = bool(self.backends)
            exporters = list(self._exporters.values())
            added = [backend for name, backend in list(self.backends.items()) if name not in self._exporters]
            self._told = [one.tell for one in exporters if one.tell] + [_teller(one) for one in added]
            tell = self._tell if len(self._told) > 1 else next(iter(self._told), None)
            self.store.equip(
                tell=tell if self._started else self._first,
                place=next((one.place for one in exporters if one.place), None),
                burst=next((one.burst for one in exporters if one.burst), None),
            )

    def _tell(self, series: Series, value: float) -> None:
        for tell in self._told:
            tell(series, value)

    def _first(self, series: Series, value: float) -> None:
        """Take the first record of a process: start, then let it go the way of all later ones.

        Not the series' own: another thread may just be starting, and has not told it yet.
        """
        self.start()
        self._tell(series, value)

    # -- forks ------------------------------------------------------------------------------------------------------

    def at_exit(self) -> None:
        """Hand over what is recorded, at the end of the process."""
        self.stop()
        self.store.on = False

    def after_fork(self) -> None:
        """Begin again, in a forked process."""
        self._lock = threading.RLock()
        self._started, self._retry = False, 0.0
        forget()
        for exporter in self._exporters.values():
            exporter.forked()
        self.store.forked(self._first)


SINK = Sink()
"""The one of this process, as the root logger is: off until configured."""
