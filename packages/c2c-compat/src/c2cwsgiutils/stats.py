"""Timers, counters and gauges."""

from c2c_compat._include import including
from c2c_stats import (
    BACKENDS,
    increment_counter,
    init_backends,
    outcome_timer_context,
    set_gauge,
    timer,
    timer_context,
)

__all__ = [
    "BACKENDS",
    "includeme",
    "increment_counter",
    "init",
    "init_backends",
    "outcome_timer_context",
    "set_gauge",
    "timer",
    "timer_context",
]

init = includeme = including("c2c_stats")
