"""Metrics to statsd, a JSON view and Prometheus for Pyramid services."""

from c2c_stats._api import (
    automatic,
    bound_counter,
    bound_gauge,
    bound_timer,
    increment_counter,
    outcome_timer_context,
    set_gauge,
    timer,
    timer_context,
)
from c2c_stats._includeme import includeme, init_backends
from c2c_stats._settings import StatsSettings
from c2c_stats._sink import SINK

BACKENDS = SINK.backends
"""Name -> backend, true when one is on; put an object with ``timer``, ``gauge`` and ``counter`` in it to add one."""

__all__ = [
    "BACKENDS",
    "StatsSettings",
    "automatic",
    "bound_counter",
    "bound_gauge",
    "bound_timer",
    "includeme",
    "increment_counter",
    "init_backends",
    "outcome_timer_context",
    "set_gauge",
    "timer",
    "timer_context",
]
