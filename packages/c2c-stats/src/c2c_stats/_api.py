"""The calls of the API: process-wide, like those of logging."""

from c2c_stats._series import Counter, Gauge, Timer
from c2c_stats._sink import SINK
from c2c_stats._stopwatch import Key, OutcomeTimerContext, Stopwatch, Tags, TimerContext

_STORE = SINK.store
_SHORTCUTS = _STORE.shortcuts


def timer_context(key: Key, tags: Tags | None = None) -> TimerContext:
    """Time a ``with`` block; one that raises is not recorded."""
    return TimerContext(_STORE, key, tags)


def outcome_timer_context(key: Key, tags: Tags | None = None) -> OutcomeTimerContext:
    """Time a ``with`` block, success and failure apart.

    The key gets a last part ``success`` or ``failure``; where automatic metrics use tags, a tag ``success`` = 1 or 0.
    """
    return OutcomeTimerContext(_STORE, key, tags, SINK.settings.statsd_use_tags)


def timer(key: Key | None = None, tags: Tags | None = None) -> Stopwatch:
    """Start a measurement; its ``stop(key_final=None, tags_final=None)`` records and returns the seconds."""
    return Stopwatch(_STORE, key, tags)


def increment_counter(key: Key, increment: float = 1, tags: Tags | None = None) -> None:
    """Add to a counter; ``increment`` is 0 or more, anything else changes nothing."""
    if _STORE.on:
        try:
            counter = _SHORTCUTS[("counter", tuple(key), tuple(tags.items())) if tags else ("counter", tuple(key))]
        except (KeyError, TypeError, AttributeError):
            counter = _STORE.counter(key, tags)
        counter.inc(increment)


def set_gauge(key: Key, value: float, tags: Tags | None = None) -> None:
    """Set a gauge to a number; NaN changes nothing."""
    if _STORE.on:
        try:
            gauge = _SHORTCUTS[("gauge", tuple(key), tuple(tags.items())) if tags else ("gauge", tuple(key))]
        except (KeyError, TypeError, AttributeError):
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
