"""The calls of the API: process-wide, like those of logging."""

import contextlib
from collections.abc import Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any

from c2c_stats._series import MOST_PARTS, Counter, Gauge, Identity, Kind, Timer, pairs_of, parts_of
from c2c_stats._sink import SINK

Key = Sequence[Any]
Tags = Mapping[str, Any]

_STORE = SINK
_counter, _gauge, _timer = _STORE.counter, _STORE.gauge, _STORE.timer


class Stopwatch:
    """Start a measurement: ``stop()`` records it; a ``with`` block does, too, unless it raises."""

    __slots__ = ("_key", "_start", "_tags")

    def __init__(self, key: Key | None = None, tags: Tags | None = None) -> None:
        self._key = key
        self._tags = tags
        self._start = perf_counter()

    def stop(self, key_final: Key | None = None, tags_final: Tags | None = None) -> float:
        """Record and return the seconds since the start.

        ``key_final`` and ``tags_final`` replace what was given at the start; without any key nothing is recorded.
        """
        seconds = perf_counter() - self._start
        key = self._key if key_final is None else key_final
        if key is not None and _STORE.on:
            _timer(key, self._tags if tags_final is None else tags_final).observe(seconds)
        return seconds

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None:
            self.stop()


class OutcomeStopwatch(Stopwatch):
    """Time a ``with`` block, success and failure apart.

    The key gets a last part ``success`` or ``failure``; where automatic metrics use tags, a tag ``success`` = 1 or 0.
    """

    __slots__ = ()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        key, tags = self._key, self._tags
        with contextlib.suppress(Exception):  # neither key nor tags: the store says so
            if _STORE.use_tags:
                tags = {**(tags or {}), "success": "1" if kind is None else "0"}
            else:
                key = [*(key or ()), "success" if kind is None else "failure"]
        self.stop(key, tags)


# Classes, which save a call, by the names of functions, which they are to whoever uses them.
timer = timer_context = Stopwatch
outcome_timer_context = OutcomeStopwatch


def increment_counter(key: Key, increment: float = 1, tags: Tags | None = None) -> None:
    """Add to a counter; ``increment`` is 0 or more, anything else changes nothing."""
    if _STORE.on:
        _counter(key, tags).inc(increment)


def set_gauge(key: Key, value: float, tags: Tags | None = None) -> None:
    """Set a gauge to a number; NaN changes nothing."""
    if _STORE.on:
        _gauge(key, tags).set(value)


def bound_counter(key: Key, tags: Tags | None = None) -> Counter:
    """Return a counter found once, for code that runs often: ``.inc(increment=1)``."""
    return _STORE.bind(_counter(key, tags))


def bound_gauge(key: Key, tags: Tags | None = None) -> Gauge:
    """Return a gauge found once, for code that runs often: ``.set(value)``."""
    return _STORE.bind(_gauge(key, tags))


def bound_timer(key: Key, tags: Tags | None = None) -> Timer:
    """Return a timer found once, for code that runs often: ``.observe(seconds)``."""
    return _STORE.bind(_timer(key, tags))


def automatic(kind: Kind, name: Key, tags: Tags, path: Key | None = None, labels: Tags | None = None) -> Any:
    """Return the Counter, Gauge or Timer of a metric that a package makes by itself.

    Prometheus has its tags as labels, and ``labels``, which it alone has. Elsewhere they are tags with
    ``STATSD_USE_TAGS``; without it, ``path`` (by default the values of the tags, in their order) follows the name.
    Not for keeping: it is another one once metrics are configured anew.
    """
    more = labels or {}
    shortcut = (automatic, kind, *name, *tags.items(), *more.items())
    found = _STORE.shortcuts.get(shortcut)
    if found is None:
        parts = parts_of(tags.values() if path is None else path) if tags or path else ()
        key, pairs = parts_of(name), pairs_of(tags)
        shown = (key, pairs) if _STORE.use_tags else ((*key, *parts)[:MOST_PARTS], ())
        found = _STORE.series(Identity(kind, key, tuple(sorted(pairs + pairs_of(more))), *shown))
        _STORE.remember(shortcut, found)
    return found
