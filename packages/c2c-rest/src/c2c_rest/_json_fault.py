"""Why a value can't be JSON, and where in it the reason is."""

import math
from collections.abc import Callable, Iterator
from typing import Any

Default = Callable[[Any], Any]

_DEEPEST = 200
_KEYS = (str, int, float, bool, type(None))


class NotJsonError(TypeError, ValueError):
    """A value that has no JSON form: a NaN, a cycle, an object that no adapter knows."""


def not_json(value: Any, default: Default, error: Exception) -> NotJsonError:
    """Return the exception that says where in ``value`` what is wrong; what the encoder said where that isn't found."""
    found = next(_faults(value, default, "$", ()), None)
    return NotJsonError(f"The answer can't be written as JSON: {found or error}")


def _faults(value: Any, default: Default, place: str, above: tuple[int, ...]) -> Iterator[str]:
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{place} is {float(value)}, a number that JSON does not have"
    elif id(value) in above:
        yield f"{place} contains itself"
    elif len(above) >= _DEEPEST:
        yield f"{place[:80]}... is nested too deeply"
    elif isinstance(value, dict):
        yield from _faults_of_keys(value, place)
        for key, item in value.items():
            yield from _faults(item, default, f"{place}.{key}", (*above, id(value)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _faults(item, default, f"{place}[{index}]", (*above, id(value)))
    else:
        yield from _faults_of_object(value, default, place, above)


def _faults_of_keys(value: dict[Any, Any], place: str) -> Iterator[str]:
    for key in value:
        if not isinstance(key, _KEYS):
            yield f"{place} has a key that is a {type(key).__name__}"
    kinds = {"text" if isinstance(key, str) else type(key).__name__ for key in value}
    if len(kinds) > 1:
        yield f"{place} has keys of several types ({', '.join(sorted(kinds))}), which have no order"


def _faults_of_object(value: Any, default: Default, place: str, above: tuple[int, ...]) -> Iterator[str]:
    try:
        result = default(value)
    except (TypeError, ValueError):
        yield f"{place} is a {type(value).__name__}, and no adapter makes JSON of it"
    else:
        yield from _faults(result, default, place, (*above, id(value)))
