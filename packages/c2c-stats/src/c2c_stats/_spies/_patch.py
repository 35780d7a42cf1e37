"""What the spies share: a method replaced so that it can be put back, and what a request did."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

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


def unpatch(owner: type, name: str) -> None:
    """Put the original method back; nothing where it is not replaced, or where another tool replaced it after us."""
    original = getattr(owner.__dict__.get(name), _ORIGINAL, None)
    if original is not None:
        setattr(owner, name, original)
