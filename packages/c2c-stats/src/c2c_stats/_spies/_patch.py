"""Replace a method so that it can be put back, and only once."""

import functools
from collections.abc import Callable
from typing import Any

_ORIGINAL = "_c2c_stats_original"


def patch(owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put ``wrap(method)`` in the place of a class's method; nothing where that is done."""
    method = getattr(owner, name)
    if hasattr(method, _ORIGINAL):
        return
    wrapper = functools.wraps(method)(wrap(method))
    setattr(wrapper, _ORIGINAL, method)
    setattr(owner, name, wrapper)


def unpatch(owner: type, name: str) -> None:
    """Put the original method back; nothing where it is not replaced, or where another tool replaced it after us."""
    method = owner.__dict__.get(name)
    original = getattr(method, _ORIGINAL, None)
    if original is not None:
        setattr(owner, name, original)
