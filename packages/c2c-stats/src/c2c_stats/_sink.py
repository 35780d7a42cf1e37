"""The metrics sink of this process: one object, built from settings, alive again after each fork."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from c2c_broadcast.process import at_exit, at_fork
from c2c_stats._notices import forget, later, say
from c2c_stats._series import Counter, Gauge, Series, Tell, Timer
from c2c_stats._settings import StatsSettings
from c2c_stats._store import Place, Store


class Backend(Protocol):
    """Where metrics go. ``key`` is a sequence of parts, ``tags`` a mapping or None."""

    def timer(self, key: Sequence[Any], duration: float, tags: Mapping[str, Any] | None = None) -> None:
        """Take a duration in seconds."""

    def gauge(self, key: Sequence[Any], value: float, tags: Mapping[str, Any] | None = None) -> None:
        """Take the present value of something."""

    def counter(self, key: Sequence[Any], increment: float, tags: Mapping[str, Any] | None = None) -> None:
        """Take a number to add."""


class Backends(MutableMapping[str, Backend]):
    """Name -> backend; true when one is on. One that is added here gets every value as it is recorded."""

    def __init__(self, changed: Any) -> None:
        self._found: dict[str, Backend] = {}
        self._changed = changed

    def __getitem__(self, name: str) -> Backend:
        return self._found[name]

    def __setitem__(self, name: str, backend: Backend) -> None:
        self._found[name] = backend
        self._changed()

    def __delitem__(self, name: str) -> None:
        del self._found[name]
        self._changed()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<Backends {', '.join(self._found) or 'none'}>"


_LOG = logging.getLogger(__name__)


def teller(backend: Backend) -> Tell:
    """Return what hands every value to a backend of the user's; one that raises is logged once."""
    failed: list[bool] = []

    def tell(series: Series, value: float) -> None:
        key, tags = list(series.identity.path), dict(series.identity.tags) or None
        try:
            if isinstance(series, Timer):
                backend.timer(key, value, tags)
            elif isinstance(series, Gauge):
                backend.gauge(key, value, tags)
            elif isinstance(series, Counter):
                backend.counter(key, value, tags)
        except Exception:  # noqa: BLE001 # the user's code, in the middle of a request
            if not failed:
                failed.append(True)
                _LOG.warning("The metrics backend %r fails", backend, exc_info=True)

    return tell


def all_of(tells: list[Tell]) -> Tell:
    """Return what tells all of these."""
    if len(tells) == 1:
        return tells[0]

    def tell(series: Series, value: float) -> None:
        for one in tells:
            one(series, value)

    return tell


class BuiltIn:
    """A backend of ours. All of them read one store, so that a call records once: through any, to all.

    ``place`` gives the series their memory, ``burst`` takes a timer's values when they are many, where each one is
    wanted, ``tell`` takes every value as it is recorded; each is None where it is not wanted.
    """

    place: Place | None = None
    burst: Callable[[Timer], None] | None = None
    tell: Callable[[Any, float], None] | None = None

    def __init__(self, store: Store) -> None:
        self._store = store

    def timer(self, key: Sequence[Any], duration: float, tags: Mapping[str, Any] | None = None) -> None:
        """Record a duration in seconds."""
        self._store.timer(key, tags).observe(duration)

    def gauge(self, key: Sequence[Any], value: float, tags: Mapping[str, Any] | None = None) -> None:
        """Record the present value of something."""
        self._store.gauge(key, tags).set(value)

    def counter(self, key: Sequence[Any], increment: float = 1, tags: Mapping[str, Any] | None = None) -> None:
        """Record a number to add."""
        self._store.counter(key, tags).inc(increment)

    def start(self) -> None:
        """Open files and start threads: in the process that records."""

    def stop(self) -> None:
        """Begin to hand over what is recorded and to let go of threads: waits for nothing, and logs nothing."""

    def join(self) -> None:
        """Wait, for a bounded time, until what ``stop`` began is done."""

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
        self._started = False
        self._lock = threading.RLock()
        self._hooked = False
        self._told: Tell | None = None

    def install(self, settings: StatsSettings, exporters: Mapping[str, BuiltIn], *, clear: bool) -> None:
        """Use these settings and exporters from now on; ``clear`` forgets what was recorded and what else was on."""
        self.stop()
        with self._lock:
            self._hook()
            stopped = self._halt()
            self.settings = settings
            self.store.use_tags = settings.statsd_use_tags
            self.store.set_buckets(settings.prometheus_buckets)
            self.store.forget_shortcuts()
            if clear:
                for exporter in self._exporters.values():
                    exporter.close()
                self._exporters.clear()
                self.backends.clear()
                self.store.equip(tell=None, place=None, burst=None)
                self.store.clear()
            self._exporters.update(exporters)
            for name in exporters:
                self.backends[name] = exporters[name]
            self._changed()
        self._join(stopped)

    def start(self) -> None:
        """Open what the exporters need, in this process; nothing where that is done. Never raises."""
        with self._lock:
            if self._started:
                return
            self._started = True
            at_exit(self)
            for name, exporter in self._exporters.items():
                try:
                    exporter.start()
                except Exception as error:  # noqa: BLE001 # what measures must not break what it measures
                    later(_LOG, "Metrics: %s can't be started", name, error=error)
            self._equip()
        say()

    def stop(self) -> None:
        """Hand over what is recorded; the next record starts all again."""
        with self._lock:
            stopped = self._halt()
        self._join(stopped)

    def _halt(self) -> list[BuiltIn]:
        """Stop the exporters, under the lock; return those to wait for without it."""
        if not self._started:
            return []
        self._started = False
        stopped = list(self._exporters.values())
        for exporter in stopped:
            exporter.stop()
        self._equip()
        return stopped

    def _join(self, stopped: list[BuiltIn]) -> None:
        for exporter in stopped:
            exporter.join()
        say()

    def exporter(self, name: str) -> Any:
        """Return what exports to ``memory``, ``statsd`` or ``prometheus``; None where that is off."""
        return self._exporters.get(name)

    # -- telling ----------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        with self._lock:
            self.store.on = bool(self.backends)
            self._equip()

    def _equip(self) -> None:
        place = next((one.place for one in self._exporters.values() if one.place is not None), None)
        burst = next((one.burst for one in self._exporters.values() if one.burst is not None), None)
        tells = [one.tell for one in self._exporters.values() if one.tell is not None]
        added = [backend for name, backend in self.backends.items() if name not in self._exporters]
        tells += [teller(backend) for backend in added]
        self._told = all_of(tells) if tells else None
        self.store.equip(tell=self._told if self._started else self._first, place=place, burst=burst)

    def _first(self, series: Series, value: float) -> None:
        """Take the first record of a process: start, then let it go the way of all later ones."""
        self.start()
        # Not what the series tells: another thread may just be starting, and has not told it yet.
        told = self._told
        if told is not None:
            told(series, value)

    # -- forks ------------------------------------------------------------------------------------------------------

    def _hook(self) -> None:
        if not self._hooked:
            self._hooked = True
            os.register_at_fork(before=self.stop)
            at_fork(self)

    def at_exit(self) -> None:
        """Hand over what is recorded, at the end of the process."""
        self.stop()
        self.store.on = False

    def after_fork(self) -> None:
        """Begin again, in a forked process."""
        self._lock = threading.RLock()
        self._started = False
        forget()
        for exporter in self._exporters.values():
            exporter.forked()
        self.store.forked(self._first)


SINK = Sink()
"""The one of this process, as the root logger is: off until configured."""
