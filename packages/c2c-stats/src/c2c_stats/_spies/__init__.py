"""Watch libraries, as soon as the application imports them, and what the spies share."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from typing import Any

from c2c_broadcast import when_imported


def _install(spy: str) -> None:
    import_module(f"c2c_stats._spies.{spy}").install()


# One object each: what waits for an import waits once.
_SPIES = {
    "sqlalchemy": partial(_install, "sqlalchemy"),
    "requests": partial(_install, "requests_library"),
    "redis": partial(_install, "redis_library"),
}


def install(*, redis: bool) -> None:
    """Watch SQLAlchemy, requests and, where asked, redis. Where one is never imported this costs nothing."""
    for library, spy in _SPIES.items():
        if redis or library != "redis":
            when_imported(library, spy)


_ORIGINAL = "_c2c_stats_original"

SQL: ContextVar[list[float]] = ContextVar("c2c_stats_sql")
"""[statements, seconds] since the request began, of its thread, greenlet or task; not set outside of requests."""


def patch(owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put ``wrap(method)`` in the place of a class's method; nothing where that is done."""
    method = getattr(owner, name)
    if not hasattr(method, _ORIGINAL):
        wrapper = functools.wraps(method)(wrap(method))
        setattr(wrapper, _ORIGINAL, method)
        setattr(owner, name, wrapper)
