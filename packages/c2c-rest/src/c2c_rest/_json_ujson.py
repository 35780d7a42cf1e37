"""JSON by ujson: the engine of ``fast_json``. Decimals are numbers; it asks nobody for what it does not know."""

import json
from typing import Any

import ujson

from c2c_rest._json_fault import Default, not_json
from c2c_rest._json_standard import Style, Writer, without_surrogates

# It goes on after keys that it could not sort, and may give a text and an error at once: a SystemError.
_ERRORS = (TypeError, ValueError, OverflowError, SystemError)


def ujson_writer(style: Style) -> Writer:
    """Return the writer of ujson."""
    indent, sort_keys = 2 if style.pretty else 0, style.sort_keys

    def write(value: Any, default: Default) -> str:
        try:
            text = ujson.dumps(
                value,
                indent=indent,
                sort_keys=sort_keys,
                ensure_ascii=False,
                escape_forward_slashes=False,
                allow_nan=False,
            )
        except _ERRORS as error:
            if type(error) not in _ERRORS:
                raise
            raise not_json(value, default, error) from error
        if sort_keys and text.count("{") != text.count("}"):
            _check(text, value, default)
        return without_surrogates(text)

    return write


def _check(text: str, value: Any, default: Default) -> None:
    """Raise where ujson left an object open: keys that can't be sorted, then something that clears the error."""
    try:
        json.loads(text)
    except ValueError as error:
        raise not_json(value, default, error) from error
