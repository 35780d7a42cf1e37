"""The extras of a record: whatever the caller added, each under a name that no other field has."""

import logging
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Any

from c2c_logging._orjson import container_text
from c2c_logging._plain import MASKED, Walk, is_hidden, is_secret, key_text
from c2c_logging._texts import dumps, encode, safe

STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes of each record; all others are extras."""

RESERVED = frozenset(
    {
        *("host", "timestamp", "level", "level_name", "logger_name", "source_facility", "msg", "file", "line"),
        *("function", "pid", "thread_name", "process_name", "full_message", "full_msg", "truncated", "format_error"),
        *("client_addr", "method", "path", "matched_route", "request_id"),
    }
)
"""Names of our own fields, in lines with a request or without: an extra of such a name is moved."""

_BIGGEST = 2**63
# The attributes of a record that are made first, in their order; extras come behind them.
_BARE = list(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
_LAST = _BARE[-1]
_STANDARD_BUT_ONE = len(_BARE) - 1


def extras(record: logging.LogRecord, walk: Walk) -> dict[str, Any]:
    """Return the extras as plain data; no name begins with an underscore, a reserved one moves to ``extra_<name>``."""
    found: dict[str, Any] = {}
    for key, value in list(record.__dict__.items()):
        if key in STANDARD:
            continue
        name = key_text(key).lstrip("_") or "extra"
        while name in RESERVED or name in found:
            name = f"extra_{name}"
        found[name] = MASKED if is_hidden(name, value) else walk.plain(value)
    return found


def extras_text(record: logging.LogRecord) -> str:
    """Return the extras as JSON, each with a comma before it: the same as ``extras``, fast where they are usual."""
    attributes = record.__dict__
    text = ""
    keys = iter(attributes)
    if next(islice(keys, _STANDARD_BUT_ONE, None), None) != _LAST:
        return _slow(record)  # not made by logging, or changed since
    for key in keys:
        if key in STANDARD:
            continue
        head = _head(key)
        value = _text(attributes[key]) if head else None
        if value is None:
            return _slow(record)
        text += f"{head}{value}"
    return text


def _slow(record: logging.LogRecord) -> str:
    walk = Walk()
    found = extras(record, walk)
    text = f",{dumps(found)[1:-1]}" if found else ""
    return f'{text},"truncated":true' if walk.truncated else text


@lru_cache(maxsize=4096)
def _head(key: Any) -> str | None:
    """Return ``,"name":`` for the name of an extra that stays as it is."""
    if type(key) is not str or key.startswith("_") or key in RESERVED or is_secret(key) or key != key_text(key):
        return None
    return f",{encode(key)}:"


def _text(value: Any) -> str | None:
    """Return a usual value as JSON, None for others."""
    kind = type(value)
    if kind is str:
        return encode(safe(value))
    if kind is int:
        return str(value) if -_BIGGEST <= value < _BIGGEST else None
    if kind is float:
        return repr(value) if isfinite(value) else "null"
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    return container_text(value) if kind is dict or kind is list else None
