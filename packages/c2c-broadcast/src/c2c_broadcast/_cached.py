"""Properties that are computed once an object."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")


def cached(function: Callable[[Any], _Value]) -> "functools.cached_property[_Value]":  # noqa: TID251 # see below
    """Make a property that is computed once an object, as ``functools.cached_property`` of Python 3.12 does.

    That of Python 3.11 holds a lock meanwhile, one for all objects: a child that is forked then waits for it for ever.
    """
    found = functools.cached_property(function)  # noqa: TID251 # as said above
    vars(found)["lock"] = contextlib.nullcontext()
    return found
