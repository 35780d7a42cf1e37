"""Loggers: an ini file that says how much ``c2cwsgiutils`` logs means the packages that are in its place."""

import logging

_PARENT = "c2cwsgiutils"
# Base and features as they are in the layers, then what is above them.
_PACKAGES = (
    "c2c_broadcast",
    "c2c_compat",
    "c2c_db",
    "c2c_debug",
    "c2c_health",
    "c2c_logging",
    "c2c_meta",
    "c2c_rest",
    "c2c_auth",
    "c2c_sentry",
    "c2c_stats",
)
_MOVED = {"c2cwsgiutils.sql_profiler": "c2c_debug.sql_profiler"}


def adopt() -> None:
    """Put the packages' loggers below ``c2cwsgiutils``, so that its level and handlers are theirs.

    A level of their own (``c2c_stats``) counts first. ``c2cwsgiutils.sql_profiler`` is what
    ``c2c_debug.sql_profiler`` was called. Doing it again changes nothing.
    """
    parent = logging.getLogger(_PARENT)
    for name in _PACKAGES:
        _place(logging.getLogger(name), parent)
    for old, new in _MOVED.items():
        logger, above = logging.getLogger(new), logging.getLogger(new.rpartition(".")[0])
        between = logging.getLogger(old)
        _place(between, above)
        _place(logger, between)


def _place(logger: logging.Logger, parent: logging.Logger) -> None:
    if logger.parent is not parent:
        logger.parent = parent
        logger.setLevel(logger.level)  # forgets what it, and all others, had found out about levels
