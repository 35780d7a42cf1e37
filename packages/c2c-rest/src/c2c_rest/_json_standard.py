"""JSON by the standard library: the engine that is always there, and the judge of what others can't write."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from c2c_rest._json_fault import Default, not_json

Writer = Callable[[Any, Default], str]
"""Writes a value as JSON; asks the function given for what it does not know. Raises NotJsonError."""


@dataclass(frozen=True, slots=True)
class Style:
    """How JSON looks: indented by 2 or without any space; keys sorted or in the value's order."""

    pretty: bool = True
    sort_keys: bool = True


def standard_writer(style: Style) -> Writer:
    """Return the writer of the standard library: non-ASCII as is, no NaN."""
    keywords: dict[str, Any] = {
        "indent": 2 if style.pretty else None,
        "separators": None if style.pretty else (",", ":"),
        "sort_keys": style.sort_keys,
        "ensure_ascii": False,
        "allow_nan": False,
    }

    def write(value: Any, default: Default) -> str:
        try:
            return without_surrogates(json.dumps(value, default=default, **keywords))
        except (TypeError, ValueError, RecursionError) as error:
            if type(error) not in {TypeError, ValueError, RecursionError}:
                # An adapter's own.
                raise
            raise not_json(value, default, error) from error

    return write


def without_surrogates(text: str) -> str:
    r"""Return ``text`` with lone surrogates escaped: UTF-8 can't hold them, JSON can (``\ud800``; RFC 8259, 8.2)."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def plain(value: Any) -> Any:
    """Return what every engine makes of some types of the standard library, without an adapter.

    Raises:
        TypeError: The value's type is none of them.
    """
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is not JSON serializable")
