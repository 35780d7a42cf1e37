"""Handing over each value as it is recorded."""

import logging

from c2c_stats._backends import Backend
from c2c_stats._series import Counter, Gauge, Series, Tell, Timer

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
