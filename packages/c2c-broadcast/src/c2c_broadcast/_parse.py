"""From a text to a type: one parser for each annotation that a settings class may use."""

import math
import types
import typing
from collections.abc import Callable
from typing import Any

Parser = Callable[[Any], Any]

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def parse_bool(raw: Any) -> bool:
    """Read ``true t yes y on 1`` or ``false f no n off 0``, any case; anything else is a ValueError."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither true (true t yes y on 1) nor false (false f no n off 0)")


def parse_int(raw: Any) -> int:
    """Read a whole number; anything else is a ValueError."""
    if isinstance(raw, int):
        return int(raw)
    try:
        return int(str(raw))
    except ValueError:
        raise ValueError("is not a whole number") from None


def parse_float(raw: Any) -> float:
    """Read a finite number; anything else, NaN and infinity too, is a ValueError."""
    try:
        value = float(raw)
    except (TypeError, ValueError):
        raise ValueError("is not a number") from None
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


def parse_list(raw: Any) -> tuple[str, ...]:
    """Read texts separated by commas or white space; empty ones are left out."""
    if isinstance(raw, list | tuple | set | frozenset):
        return tuple(str(item) for item in raw)
    return tuple(str(raw).replace(",", " ").split())


def parser_of(annotation: Any) -> Parser:
    """Return the parser for an annotation.

    ``bool``, ``int``, ``float``, ``str``, ``tuple[str, ...]``, ``Literal[...]``, and ``X | None`` of these.

    Raises:
        TypeError: The annotation is none of these: give the setting a ``parse`` of its own.
    """
    if annotation in _PARSERS:
        return _PARSERS[annotation]
    origin = typing.get_origin(annotation)
    if origin in {types.UnionType, typing.Union}:
        rest = [one for one in typing.get_args(annotation) if one is not types.NoneType]
        if len(rest) == 1:
            return parser_of(rest[0])
    if origin is typing.Literal:
        return _one_of(tuple(str(choice) for choice in typing.get_args(annotation)))
    raise TypeError(f"no parser for {annotation}: give setting(..., parse=) one")


def _one_of(choices: tuple[str, ...]) -> Parser:
    def parse(raw: Any) -> str:
        word = str(raw).strip().lower()
        if word not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return word

    return parse


_PARSERS: dict[Any, Parser] = {
    bool: parse_bool,
    int: parse_int,
    float: parse_float,
    str: str,
    tuple[str, ...]: parse_list,
}
