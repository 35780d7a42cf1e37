"""Parameters of requests: read, held to their bounds, or a 400 that names them."""

import math
from typing import Any

from pyramid.httpexceptions import HTTPBadRequest, HTTPException

from c2c_broadcast import json_error

_LONGEST_SHOWN = 50
_LONGEST_NUMBER = 30
_TRUE = frozenset({"", "1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


def bad(message: str) -> HTTPException:
    """Make the 400 to raise."""
    return json_error(HTTPBadRequest, message)


def integer(request: Any, name: str, default: int | None = None, *, minimum: int, maximum: int) -> int:
    """Return a whole number; without a default it must be there. What it is not is a 400."""
    return int(number(request, name, default, minimum=minimum, maximum=maximum, whole=True))


def number(
    request: Any, name: str, default: float | None = None, *, minimum: float, maximum: float, whole: bool = False
) -> float:
    """Return a finite number; without a default it must be there. What it is not is a 400."""
    raw: str = request.params.get(name) or ""
    if not raw and default is not None:
        return default
    try:
        # Python takes more for a number: 1_0, digits of other scripts.
        plain = len(raw) <= _LONGEST_NUMBER and raw.isascii() and "_" not in raw
        value = (int if whole else float)(raw) if plain else math.nan
    except ValueError:
        value = math.nan
    if not minimum <= value <= maximum:
        what = "a whole number" if whole else "a number"
        raise bad(f"{name} must be {what} from {minimum:.15g} to {maximum:.15g}, {_given(raw)}")
    return value


def flag(request: Any, name: str) -> bool:
    """Return whether a flag is set: ``&name``, ``&name=1``; ``&name=false`` is not. Anything else is a 400."""
    raw: str = request.params.get(name, "0")
    word = raw.strip().lower()
    if word not in _TRUE | _FALSE:
        raise bad(f"{name} must be 1 or 0, {_given(raw)}")
    return word in _TRUE


def choice(request: Any, name: str, *choices: str) -> str:
    """Return one of the choices, the first by default. Anything else is a 400."""
    raw: str = request.params.get(name) or choices[0]
    if raw not in choices:
        raise bad(f"{name} must be {' or '.join(choices)}, {_given(raw)}")
    return raw


def _given(raw: str) -> str:
    return "and is missing" if not raw else f"not {raw[:_LONGEST_SHOWN]!r}"
