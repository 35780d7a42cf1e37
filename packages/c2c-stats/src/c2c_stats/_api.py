"""The calls of the API: process-wide, like those of logging."""

from typing import Literal, cast, overload

from c2c_stats._identity import Kind, pairs_of, parts_of
from c2c_stats._series import Counter, Gauge, Series, Timer
from c2c_stats._shortcuts import TAGS
from c2c_stats._sink import SINK
from c2c_stats._stopwatch import Key, OutcomeTimerContext, Stopwatch, Tags, TimerContext

_STORE = SINK.store
_COUNTERS = _STORE.counters
_GAUGES = _STORE.gauges

# Classes, which save a call, by the names of functions, which they are to whoever uses them.
timer_context = TimerContext
outcome_timer_context = OutcomeTimerContext
timer = Stopwatch


def increment_counter(key: Key, increment: float = 1, tags: Tags | None = None) -> None:
    """Add to a counter; ``increment`` is 0 or more, anything else changes nothing."""
    if _STORE.on:
        try:
            if isinstance(key, str):
                key = (key,)
            counter = _COUNTERS[(*key, TAGS, *tags.items()) if tags else tuple(key)]
        except Exception:  # noqa: BLE001 # not found, or not to be looked up by
            counter = _STORE.counter(key, tags)
        counter.inc(increment)


def set_gauge(key: Key, value: float, tags: Tags | None = None) -> None:
    """Set a gauge to a number; NaN changes nothing."""
    if _STORE.on:
        try:
            if isinstance(key, str):
                key = (key,)
            gauge = _GAUGES[(*key, TAGS, *tags.items()) if tags else tuple(key)]
        except Exception:  # noqa: BLE001 # not found, or not to be looked up by
            gauge = _STORE.gauge(key, tags)
        gauge.set(value)


def bound_counter(key: Key, tags: Tags | None = None) -> Counter:
    """Return a counter found once, for code that runs often: ``.inc(increment=1)``."""
    return _STORE.bind(_STORE.counter(key, tags))


def bound_gauge(key: Key, tags: Tags | None = None) -> Gauge:
    """Return a gauge found once, for code that runs often: ``.set(value)``."""
    return _STORE.bind(_STORE.gauge(key, tags))


def bound_timer(key: Key, tags: Tags | None = None) -> Timer:
    """Return a timer found once, for code that runs often: ``.observe(seconds)``, or ``with bound.time():``."""
    return _STORE.bind(_STORE.timer(key, tags))


@overload
def automatic(kind: Literal["counter"], name: Key, tags: Tags, path: Key | None = None) -> Counter: ...
@overload
def automatic(kind: Literal["gauge"], name: Key, tags: Tags, path: Key | None = None) -> Gauge: ...
@overload
def automatic(kind: Literal["timer"], name: Key, tags: Tags, path: Key | None = None) -> Timer: ...


def automatic(kind: Kind, name: Key, tags: Tags, path: Key | None = None) -> Series:
    """Return a series of a metric that a package makes by itself.

    Prometheus has its tags as labels. Elsewhere they are tags with ``STATSD_USE_TAGS``; without it, ``path`` (by
    default the values of the tags, in their order) follows the name. Not for keeping: it is another one once metrics
    are configured anew.
    """
    shortcut = (automatic, kind, *name, *tags.items())
    found = _STORE.shortcuts.get(shortcut)
    if found is None:
        parts = parts_of(tags.values() if path is None else path) if tags or path else ()
        found = _STORE.automatic(kind, parts_of(name), pairs_of(tags), parts)
        _STORE.remember(shortcut, found)
    return cast("Series", found)
