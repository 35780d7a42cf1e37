"""Loggers: an ini file that says how much ``c2cwsgiutils`` logs means the packages that are in its place."""

import logging
from functools import lru_cache
from importlib.metadata import entry_points


@lru_cache(1)
def _packages() -> list[str]:
    """Return the packages that are installed: those that have settings, and the page, which has none."""
    found = {one.module.partition(".")[0] for one in entry_points(group="c2c.settings")}
    return sorted(found | {"c2c_page"})


def adopt() -> None:
    """Put the packages' loggers below ``c2cwsgiutils``, so that its level and handlers are theirs.

    A level of their own (``c2c_stats``) counts first. ``c2cwsgiutils.sql_profiler`` is what
    ``c2c_debug.sql_profiler`` was called. Doing it again changes nothing.
    """
    parent = logging.getLogger("c2cwsgiutils")
    for name in _packages():
        _place(logging.getLogger(name), parent)
    moved = logging.getLogger("c2cwsgiutils.sql_profiler")
    _place(moved, logging.getLogger("c2c_debug"))
    _place(logging.getLogger("c2c_debug.sql_profiler"), moved)


def _place(logger: logging.Logger, parent: logging.Logger) -> None:
    if logger.parent is not parent:
        logger.parent = parent
        logger.setLevel(logger.level)  # forgets what it, and all others, had found out about levels
