"""Watch libraries, as soon as the application imports them, and what the spies share."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from c2c_broadcast import when_imported

# One object each: what waits for an import waits once.
_SPIES = {
    "sqlalchemy": lambda: import_module("c2c_stats._spies.sqlalchemy").install(),
    "requests": lambda: import_module("c2c_stats._spies.requests_library").install(),
    "redis": lambda: import_module("c2c_stats._spies.redis_library").install(),
}


def install(*, redis: bool) -> None:
    """Watch SQLAlchemy, requests and, where asked, redis. Where one is never imported this costs nothing."""
    for library, spy in _SPIES.items():
        if redis or library != "redis":
            when_imported(library, spy)


_ORIGINAL = "_c2c_stats_original"

# [statements, seconds] since the request began, of its thread, greenlet or task; not set outside of requests.
SQL: ContextVar[list[float]] = ContextVar("c2c_stats_sql")


def patch(owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put ``wrap(method)`` in the place of a class's method; nothing where that is done."""
    method = getattr(owner, name)
    if not hasattr(method, _ORIGINAL):
        wrapper = functools.wraps(method)(wrap(method))
        setattr(wrapper, _ORIGINAL, method)
        setattr(owner, name, wrapper)
