"""Making a line fit: strict JSON, however little room there is."""

import json
from collections.abc import Callable
from typing import Any

from c2c_logging._fields import Fields
from c2c_logging._texts import dumps

LIMIT = 32_000
"""Bytes of the longest line."""

# How many characters of each text stay, tried one after the other. A character takes up to 12 bytes ("\\ud83d\\ude00").
_CUTS = (16_000, 4_000, 1_000, 250, 60, 20)
_FIRST = ("timestamp", "level_name", "logger_name", "msg", "request_id")


def fit(fields: Fields, arrange: Callable[[Fields], dict[str, Any]], limit: int = LIMIT) -> str:
    """Return the fields as one JSON object of at most ``limit`` bytes, marked ``truncated`` where something went."""
    line = dumps(arrange(fields))
    if len(line) <= limit:
        return line
    for with_extras in (True, False):
        for size in _CUTS:
            core = {key: _cut(value, size) for key, value in fields.core.items()}
            core["truncated"] = True
            extras = {key: _cut(value, size) for key, value in fields.extras.items()} if with_extras else {}
            line = dumps(arrange(Fields(core, extras, fields.context)))
            if len(line) <= limit:
                return line
    core = {key: _cut(fields.core[key], _CUTS[-1]) for key in _FIRST if key in fields.core}
    return dumps({**core, "truncated": True})


def _cut(value: Any, size: int) -> Any:
    """Return the value with its texts cut: both ends stay, for a traceback ends with what happened."""
    if isinstance(value, str) and len(value) > size:
        half = size // 2
        return f"{value[:half]}...({len(value) - 2 * half} characters left out)...{value[-half:]}"
    if isinstance(value, dict):
        return {key: _cut(item, size) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item, size) for item in value]
    return value


def refit(line: str, limit: int) -> str:
    """Return a line of JSON, whoever made it, so that it has at most ``limit`` bytes."""
    try:
        found = json.loads(line)
    except ValueError:
        return line[:limit]
    if not isinstance(found, dict):
        return line[:limit]
    for size in _CUTS:
        shorter = dumps({**_cut(found, size), "truncated": True})
        if len(shorter) <= limit:
            return shorter
    kept = {key: _cut(found[key], _CUTS[-1]) for key in _FIRST if key in found}
    return dumps({**kept, "truncated": True})
