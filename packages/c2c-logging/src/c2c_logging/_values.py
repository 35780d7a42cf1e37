"""Texts and values on their way into a log line: bounded, masked, and made of what JSON knows.

Cycles, NaN, odd keys, bytes and objects that raise are no obstacle. Masking is what takes time: a text is masked once,
all texts of a nested value together, and one by one only where that finds a secret.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Any, Final

from c2c_broadcast import Masker, names_secret

orjson: Any
try:
    import orjson
except ImportError:  # the extra is not installed
    orjson = None

MASKED: Final = "***"
# A line has 32 kB; what is longer is cut before it is looked at, and what a cut could have halved goes after masking.
_LONGEST = 40_000
_MARGIN = 4_000
_DEEPEST = 16
_MOST_VALUES = 2_000
_MOST_CHARACTERS = 64_000
_BIGGEST = 2**63  # beyond, readers round
_LEFT_OUT = "..."
_CONTAINERS = (Mapping, list, tuple, set, frozenset)
_LONGEST_KEY = 200
_LONG = 200
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
# A text of JSON and the colon that makes it a key. Each quote that it meets is taken, so that it is linear in any text.
_TEXT = re.compile(r'"((?:[^"\\]++|\\.)*+)"?(:?)')
_STRICT = (
    0
    if orjson is None
    else orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)

dumps = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
"""Return plain data as JSON in ASCII."""

encode = encode_basestring_ascii
"""Return a text as a JSON string in ASCII: it fits every stream, and no kind of new line survives in it."""


class ProcessMasker:
    """Hide the secrets of the environment and of every application: handlers are built before, and outlive them.

    ``mask`` is the function that does, made when it is first used; ``version`` grows with what it knows.
    """

    __slots__ = ("_sources", "mask", "may_hold", "version")

    def __init__(self) -> None:
        self._sources: list[Mapping[str, Any]] = []
        self.mask: Callable[[str], str] = self._first
        self.may_hold: Callable[[str], bool] = lambda _: True
        self.version = 0

    def learn(self, settings: Mapping[str, Any]) -> None:
        """Hide the secrets of these settings too."""
        known = dict(settings)
        if known not in self._sources:
            self._sources = [*self._sources, known]
            self.mask, self.may_hold = self._first, lambda _: True
            self.version += 1

    def _first(self, text: str) -> str:
        masker = Masker.of(*self._sources, os.environ)
        self.mask = partial(masker, limit=None)  # a line has limits of its own
        self.may_hold = masker.may_hold
        return self.mask(text)


MASKING = ProcessMasker()
"""The one of this process."""


def printable(text: str) -> str:
    """Return the text without lone surrogates, which are no Unicode text: a backslash and their number."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def safe(text: str) -> str:
    """Return a text as it may leave the process: without secrets, without lone surrogates, not endless."""
    if len(text) > _LONGEST:
        return printable(MASKING.mask(text[:_LONGEST])[:-_MARGIN]) + "..."
    text = MASKING.mask(text)
    return text if text.isascii() else printable(text)


def text_of(value: Any) -> str:
    """Return ``str(value)``, or what the value is where it can't be told. Never raises."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 # __str__ is anybody's code
        return f"<{type(value).__name__} whose str() raised {type(error).__name__}>"


def said(error: BaseException) -> str:
    """Return an exception and the first line of what it says, without secrets."""
    return f"{type(error).__name__}: {safe(text_of(error).partition(chr(10))[0])}"


def message_of(found: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the formatted message of a record's attributes, and why it could not be formatted where that is so."""
    message, args = found.get("msg"), found.get("args")
    if type(message) is not str:
        message = text_of(message)
    try:
        return message % args if args else message, None
    except Exception as error:  # noqa: BLE001 # wrong arguments, or a __str__ that raises
        return f"{message} {text_of(args)}", f"{type(error).__name__}: {text_of(error)}"


def text_json(text: str) -> str:
    """Return a text as JSON in ASCII: ``encode``, or what does a long one in a tenth of its time."""
    if orjson is not None and len(text) > _LONG and text.isascii():
        encoded: str = orjson.dumps(text).decode("ascii")
        return encoded
    return encode(text)


def value_text(value: Any, walk: "Walk") -> str:
    """Return any value as JSON in ASCII, masked."""
    kind = type(value)
    if kind is str:
        return text_json(walk.text(value))
    if (kind is int and -_BIGGEST <= value < _BIGGEST) or (kind is float and math.isfinite(value)):
        return repr(value)
    if (kind is dict or kind is list) and orjson is not None and (text := _usual_text(value)) is not None:
        return text
    plain = walk.plain(value)
    return encode(plain) if type(plain) is str else dumps(plain)


def _usual_text(value: Any) -> str | None:
    """Return what ``Walk`` makes of a dict or list that it leaves as it is, as JSON; None for any other.

    A walk takes a microsecond for each value in it. Here orjson takes what JSON knows and nothing else, and one look at
    the text tells whether it is small, flat, and without a secret.
    """
    try:
        found = orjson.dumps(value, option=_STRICT)
    except (TypeError, RecursionError):
        return None
    if len(found) > _LONGEST or found.count(b",") + found.count(b":") + found.count(b"[") > _MOST_VALUES:
        return None
    brackets = found.translate(None, _NO_BRACKETS)
    for _ in range(_DEEPEST):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    text: str = found.decode()
    if brackets or not text.isascii():
        return None
    seen = text
    if "\\" in text:
        # As the texts are without their escapes, more or less: "\\nsig=..." is no word "nsig".
        seen = _ESCAPE.sub(" ", text)
        if any(colon and "\\" in key for key, colon in _TEXT.findall(text)):
            return None
    if not MASKING.may_hold(seen):
        return text
    hides = MASKING.mask(seen) != seen or any(colon and names_secret(key) for key, colon in _TEXT.findall(text))
    return None if hides else text


class Walk:
    """One walk over the values of a record. ``truncated`` tells whether something was left out."""

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
        if isinstance(value, str):
            text = str.__str__(value)
        elif isinstance(value, bytes | bytearray):
            text = bytes(value[:_MOST_CHARACTERS]).decode("utf-8", "backslashreplace")
        else:
            text = text_of(value)
        text = safe(text)
        self._characters -= len(text)
        return text

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
            return self.text(value)
        if depth >= _DEEPEST:
            self.truncated = True
            return _LEFT_OUT
        return self._dict(value, depth) if isinstance(value, Mapping) else self._list(value, depth)

    def _number(self, value: int | float) -> Any:  # noqa: PYI041 # int is not a float here
        if isinstance(value, float):
            real = float.__float__(value)
            return real if math.isfinite(real) else None
        number = int.__index__(value)
        return number if -_BIGGEST <= number < _BIGGEST else self.text(_digits(number))

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


def is_hidden(name: str, value: Any) -> bool:
    """Tell whether a field holds a secret: its name says so, and its value is not empty. Never raises."""
    if not names_secret(name):
        return False
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 # what has no truth: an array of NumPy, a SQL expression
        return True


def key_text(key: Any) -> str:
    """Return a key as the name of a field."""
    if isinstance(key, bytes):
        return key[:_LONGEST_KEY].decode("utf-8", "backslashreplace")
    return printable(key[:_LONGEST_KEY] if type(key) is str else text_of(key)[:_LONGEST_KEY])


def _digits(number: int) -> str:
    # Python converts no more than 4,300 digits by default.
    try:
        return str(number)
    except ValueError:
        return hex(number)
