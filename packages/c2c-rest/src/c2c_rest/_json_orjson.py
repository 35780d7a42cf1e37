"""JSON by orjson, byte for byte what the standard library would write, which writes what orjson can't.

orjson differs where it writes null for NaN and infinity (looked for, where there is a null), and in how it writes the
exponent of a float (made the same). Tuples and floats of a subclass come to the default function; datetimes and
dataclasses too, because an adapter decides about them.
"""

import io
import json
import pickle
import re
from typing import Any

import orjson

from c2c_rest._json_fault import Default
from c2c_rest._json_standard import Style, Writer, standard_writer

# A float that is no number, in a pickle: its code, sign and exponent (IEEE 754, all bits of the exponent set).
_ODD_FLOAT = re.compile(rb"G[\x7f\xff][\xf0-\xff]")
# A string, or a number with an exponent.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9.]+e[-+][0-9]+')


def orjson_writer(style: Style) -> Writer:
    """Return the writer of orjson."""
    option = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    option |= orjson.OPT_INDENT_2 if style.pretty else 0
    option |= orjson.OPT_SORT_KEYS if style.sort_keys else 0
    standard = standard_writer(style)

    def write(value: Any, default: Default) -> str:
        try:
            body = orjson.dumps(value, default, option)
        except TypeError:
            return _same_exponents(standard(value, default))
        if b"null" in body and _has_odd_float(value, default):
            # Says which one.
            return _same_exponents(standard(value, default))
        return body.decode()

    return write


def _same_exponents(text: str) -> str:
    if "e-" not in text and "e+" not in text:
        return text
    return _TOKEN.sub(lambda found: found[0] if found[0][0] == '"' else orjson.dumps(float(found[0])).decode(), text)


def _has_odd_float(value: Any, default: Default) -> bool:
    """Tell whether a NaN or an infinity is in ``value``, at the speed of C: pickle visits everything once."""
    probe = io.BytesIO()
    try:
        _Probe(probe, default).dump(value)
    except Exception:  # noqa: BLE001 # the probe is not sure: the judge is
        return True
    if not _ODD_FLOAT.search(probe.getbuffer()):
        return False
    # Three bytes of a number or a text may look the same by chance.
    try:
        json.dumps(value, default=default, allow_nan=False)
    except ValueError:
        return True
    return False


class _Probe(pickle.Pickler):
    """Pickles for the sake of looking into the result; of an object, what becomes of it in JSON."""

    def __init__(self, file: io.BytesIO, default: Default) -> None:
        super().__init__(file, protocol=5)
        # No memory of what was pickled: there are no cycles in what orjson has written.
        self.fast = True
        self._default = default

    def reducer_override(self, value: Any) -> Any:
        """Handle what is not exactly of a built-in type."""
        if value is list:
            return NotImplemented
        if isinstance(value, str | int):
            return list, ()
        if isinstance(value, dict):
            return list, (list(dict(value).items()),)
        if isinstance(value, list):
            return list, (list(value),)
        return list, ([self._default(value)],)
