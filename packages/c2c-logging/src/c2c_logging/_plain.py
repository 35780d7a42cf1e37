"""Any value as what JSON knows: cycles, NaN, odd keys, bytes, and objects that raise are no obstacle."""

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from c2c_broadcast import names_secret
from c2c_logging._texts import printable, safe, text_of

MASKED = "***"
_DEEPEST = 8
_MOST_VALUES = 2_000
_MOST_CHARACTERS = 64_000
_BIGGEST = 2**63  # beyond, readers round
_LEFT_OUT = "..."
_CONTAINERS = (Mapping, list, tuple, set, frozenset)

is_secret = lru_cache(maxsize=1024)(names_secret)
"""Tell whether a field of this name holds a secret."""


class Walk:
    """One walk over the extras of a record. ``truncated`` tells whether something was left out."""

    __slots__ = ("_characters", "_values", "truncated")

    def __init__(self) -> None:
        self._values = _MOST_VALUES
        self._characters = _MOST_CHARACTERS
        self.truncated = False

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return the value made of dict, list, str, int, float, bool and None only, masked. Never raises."""
        try:
            return self._plain(value, depth)
        except Exception as error:  # noqa: BLE001 # iteration and attributes are anybody's code
            return f"<{type(value).__name__} that raised {type(error).__name__}>"

    def text(self, value: Any) -> str:
        """Return the value as a text, masked. Never raises."""
        return self._text(_as_text(value))

    def _plain(self, value: Any, depth: int) -> Any:
        self._values -= 1
        if self._values < 0 or self._characters < 0:
            self.truncated = True
            return _LEFT_OUT
        if isinstance(value, Enum):
            value = value.value
        if value is None or value is True or value is False:
            return value
        if isinstance(value, int | float):
            return self._number(value)
        if not isinstance(value, _CONTAINERS):
            return self._text(_as_text(value))
        if depth >= _DEEPEST:
            self.truncated = True
            return _LEFT_OUT
        return self._dict(value, depth) if isinstance(value, Mapping) else self._list(value, depth)

    def _number(self, value: int | float) -> Any:  # noqa: PYI041 # int is not a float here
        if isinstance(value, float):
            real = float.__float__(value)
            return real if math.isfinite(real) else None
        number = int.__index__(value)
        return number if -_BIGGEST <= number < _BIGGEST else self._text(_digits(number))

    def _list(self, value: Iterable[Any], depth: int) -> list[Any]:
        items = []
        for item in value:
            items.append(self.plain(item, depth + 1))
            if self._values < 0:
                break
        return items

    def _dict(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = key_text(key)
            self._characters -= len(name)
            while name in found:
                name += "_"
            found[name] = MASKED if is_hidden(name, item) else self.plain(item, depth + 1)
            if self._values < 0:
                break
        return found

    def _text(self, text: str) -> str:
        text = safe(text)
        self._characters -= len(text)
        return text


def is_hidden(name: str, value: Any) -> bool:
    """Tell whether a field holds a secret: its name says so, and its value is not empty. Never raises."""
    if not is_secret(name):
        return False
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 # what has no truth: an array of NumPy, a SQL expression
        return True


def key_text(key: Any) -> str:
    """Return a key as the name of a field."""
    if isinstance(key, bytes):
        return key[:200].decode("utf-8", "backslashreplace")
    return printable(key[:200] if type(key) is str else text_of(key)[:200])


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value[:_MOST_CHARACTERS]).decode("utf-8", "backslashreplace")
    return text_of(value)


def _digits(number: int) -> str:
    # Python converts no more than 4,300 digits by default.
    try:
        return str(number)
    except ValueError:
        return hex(number)
