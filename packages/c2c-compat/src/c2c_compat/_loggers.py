"""Loggers: an ini file that says how much ``c2cwsgiutils`` logs means the packages that are in its place."""

import logging
from functools import cache
from importlib.metadata import entry_points


@cache
def adopt() -> None:
    """Put the packages' loggers below ``c2cwsgiutils``, so that its level and handlers are theirs.

    A level of their own (``c2c_stats``) counts first. ``c2cwsgiutils.sql_profiler`` is what
    ``c2c_debug.sql_profiler`` was called.
    """
    parent = logging.getLogger("c2cwsgiutils")
    for name in {"c2c_page", *(one.module.partition(".")[0] for one in entry_points(group="c2c.settings"))}:
        _place(logging.getLogger(name), parent)
    moved = logging.getLogger("c2cwsgiutils.sql_profiler")
    _place(moved, logging.getLogger("c2c_debug"))
    _place(logging.getLogger("c2c_debug.sql_profiler"), moved)


def _place(logger: logging.Logger, parent: logging.Logger) -> None:
    if logger.parent is not parent:
        logger.parent = parent
        logger.setLevel(logger.level)  # forgets what it, and all others, had found out about levels
