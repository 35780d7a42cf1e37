"""JSON by orjson, byte for byte what the standard library would write, which writes what orjson can't.

orjson differs where it writes null for NaN and infinity (looked for, where there is a null), and in how it writes the
exponent of a float (made the same). Tuples and floats of a subclass come to the default function; datetimes and
dataclasses too, because an adapter decides about them.
"""

import re
from typing import Any

import orjson

from c2c_rest._json_fault import Default
from c2c_rest._json_standard import Style, Writer, standard_writer
from c2c_rest._odd_floats import has_odd_float

# A string, or a number with an exponent.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9.]+e[-+][0-9]+')


def orjson_writers(style: Style) -> tuple[Writer, Writer]:
    """Return the writer of orjson, and the standard library's with the same exponents for what orjson can't write."""
    option = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    option |= orjson.OPT_INDENT_2 if style.pretty else 0
    option |= orjson.OPT_SORT_KEYS if style.sort_keys else 0
    standard = standard_writer(style)

    def write_standard(value: Any, default: Default) -> str:
        return _same_exponents(standard(value, default))

    def write(value: Any, default: Default) -> str:
        try:
            body = orjson.dumps(value, default, option)
        except TypeError:
            return write_standard(value, default)
        if b"null" in body and has_odd_float(value, default, body):
            # Says which one.
            return write_standard(value, default)
        return body.decode()

    return write, write_standard


def _same_exponents(text: str) -> str:
    if "e-" not in text and "e+" not in text:
        return text
    return _TOKEN.sub(lambda found: found[0] if found[0][0] == '"' else orjson.dumps(float(found[0])).decode(), text)
