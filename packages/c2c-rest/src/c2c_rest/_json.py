"""JSON by three engines: orjson, ujson and the standard library, which writes what orjson can't.

What orjson and the standard library write is the same, byte for byte, so that an answer does not depend on which of
them wrote it. Bytes that an engine gives are the body: they are not decoded and encoded once more.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from uuid import UUID

import ujson

try:
    import orjson
except ImportError:
    HAS_ORJSON = False
else:
    HAS_ORJSON = True

Default = Callable[[Any], Any]
"""Makes something simpler of an object that an engine does not know, or raises TypeError."""
Writer = Callable[[Any, Default], bytes]
"""Writes a value as JSON; asks the function for what its engine does not know. Raises NotJsonError."""

_DEEPEST = 200
_NO_BRACES = bytes(set(range(256)) - set(b"{}"))
_KEYS = (str, int, float, bool, type(None))
# A text, which stays; a number with an exponent, as Python writes it; or what Python writes and JSON does not have.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|(?<![0-9.])-?[0-9.]++e[-+][0-9]+|NaN|-?Infinity')
# ujson goes on after keys that it could not sort, and may give a text and an error at once: a SystemError.
_OF_UJSON = (TypeError, ValueError, OverflowError, SystemError)


@dataclass(frozen=True, slots=True)
class Style:
    """How JSON looks: indented by 2 or without any space; keys sorted or in the value's order.

    With ``refuses_nan`` NaN and infinities are an error, else ``null``. ``unknown`` and ``odd`` say what to do about an
    object that nothing makes JSON of, and about a NaN.
    """

    pretty: bool = True
    sort_keys: bool = True
    refuses_nan: bool = False
    unknown: str = "no adapter makes JSON of it"
    odd: str = "a number that JSON does not have"


class NotJsonError(TypeError, ValueError):
    """A value that has no JSON form: a cycle, an object that no adapter knows, a NaN where it is refused."""

    def __init__(self, why: object) -> None:
        super().__init__(f"The answer can't be written as JSON: {why}")


def standard_writer(style: Style) -> Writer:
    """Return the writer of the standard library; floats look as orjson writes them, where it is installed."""
    keywords: dict[str, Any] = {
        "indent": 2 if style.pretty else None,
        "separators": None if style.pretty else (",", ":"),
        "sort_keys": style.sort_keys,
        "ensure_ascii": False,
        "allow_nan": not style.refuses_nan,
    }

    def write(value: Any, default: Default) -> bytes:
        try:
            text = json.dumps(value, default=default, **keywords)
        except (TypeError, ValueError, RecursionError) as error:
            if type(error) not in {TypeError, ValueError, RecursionError}:
                raise  # an adapter's own
            raise _not_json(value, default, style, error) from error
        if any(mark in text for mark in ("e-", "e+", "NaN", "Infinity")):
            text = _TOKEN.sub(_rewritten, text)
        return utf8(text)

    return write


def orjson_writer(style: Style) -> Writer:
    """Return the writer of orjson, of the standard library where orjson is not installed.

    Tuples and floats of a subclass come to the default function; datetimes and dataclasses too, because an adapter
    decides about them. UUIDs and enumerations do not.
    """
    standard = standard_writer(style)
    if not HAS_ORJSON:
        return standard
    dumps, option = orjson.dumps, orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    option |= orjson.OPT_INDENT_2 if style.pretty else 0
    option |= orjson.OPT_SORT_KEYS if style.sort_keys else 0

    def write(value: Any, default: Default) -> bytes:
        try:
            body = dumps(value, default, option)
        except TypeError:
            return standard(value, default)
        if style.refuses_nan and b"null" in body:
            for fault in _faults(value, default, style, "$", ()):
                raise NotJsonError(fault)
        return body

    return write


def ujson_writer(style: Style) -> Writer:
    """Return the writer of ujson. It asks nobody for what it does not know, and refuses NaN and infinities."""
    style = replace(style, refuses_nan=True)
    keywords: dict[str, Any] = {
        "indent": 2 if style.pretty else 0,
        "sort_keys": style.sort_keys,
        "ensure_ascii": False,
        "escape_forward_slashes": False,
        "allow_nan": False,
    }

    def write(value: Any, default: Default) -> bytes:
        try:
            body = utf8(ujson.dumps(value, **keywords))
        except _OF_UJSON as error:
            if type(error) not in _OF_UJSON:
                raise
            raise _not_json(value, default, style, error) from error
        braces = body.translate(None, _NO_BRACES) if style.sort_keys else b""  # once over it, where counting is twice
        if braces.count(b"{") * 2 != len(braces):
            try:
                # It left an object open: keys that it can't sort, then something that cleared the error.
                json.loads(body)
            except ValueError as error:
                raise _not_json(value, default, style, error) from error
        return body

    return write


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


def _rewritten(found: re.Match[str]) -> str:
    token = found[0]
    if token[0] == '"':
        return token
    if token[-1] in "Ny":
        return "null"
    return orjson.dumps(float(token)).decode() if HAS_ORJSON else token


def utf8(text: str) -> bytes:
    r"""Return ``text`` in UTF-8, lone surrogates escaped, which JSON can hold (``\ud800``; RFC 8259, 8.2)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _not_json(value: Any, default: Default, style: Style, error: Exception) -> NotJsonError:
    """Return the exception that says where in ``value`` what is wrong; what the encoder said where that isn't found."""
    return NotJsonError(next(_faults(value, default, style, "$", ()), error))


def _faults(  # noqa: C901 # a walk: one case a kind of value
    value: Any, default: Default, style: Style, place: str, above: tuple[int, ...]
) -> Iterator[str]:
    if value is None or isinstance(value, str | int):
        return
    within = (*above, id(value))
    if isinstance(value, float):
        if style.refuses_nan and not math.isfinite(value):
            yield f"{place} is {float(value)}, {style.odd}"
    elif id(value) in above:
        yield f"{place} contains itself"
    elif len(above) >= _DEEPEST:
        yield f"{place[:80]}... is nested too deeply"
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _faults(item, default, style, f"{place}[{index}]", within)
    elif isinstance(value, dict):
        yield from _faults_of_keys(value, style, place)
        for key, item in value.items():
            yield from _faults(item, default, style, f"{place}.{key}", within)
    else:
        try:
            simpler = default(value)
        except (TypeError, ValueError):
            yield f"{place} is a {type(value).__name__}, and {style.unknown}"
        else:
            yield from _faults(simpler, default, style, place, within)


def _faults_of_keys(value: dict[Any, Any], style: Style, place: str) -> Iterator[str]:
    yield from (f"{place} has a key that is a {type(key).__name__}" for key in value if not isinstance(key, _KEYS))
    kinds = {"text" if isinstance(key, str) else type(key).__name__ for key in value}
    if style.sort_keys and len(kinds) > 1:
        yield f"{place} has keys of several types ({', '.join(sorted(kinds))}), which have no order"
