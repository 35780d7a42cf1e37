"""The calls of the API: process-wide, like those of logging."""

from c2c_stats._series import Counter, Gauge, Timer
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
            counter = _COUNTERS[(*key, *tags.items()) if tags else tuple(key)]
        except Exception:  # noqa: BLE001 # not found, or not to be looked up by
            counter = _STORE.counter(key, tags)
        counter.inc(increment)


def set_gauge(key: Key, value: float, tags: Tags | None = None) -> None:
    """Set a gauge to a number; NaN changes nothing."""
    if _STORE.on:
        try:
            gauge = _GAUGES[(*key, *tags.items()) if tags else tuple(key)]
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
