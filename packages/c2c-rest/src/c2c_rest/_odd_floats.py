"""Whether a NaN or an infinity is in a value: orjson writes null for them, and does not say so.

A walk in Python would take ten times as long as orjson. Serializers in C visit everything too, and floats stand in what
they write as the eight bytes of IEEE 754: all bits of the exponent set is what is looked for. Other bytes may look the
same by chance; that is seldom, and judged.
"""

import io
import json
import marshal
import pickle
import re
from typing import Any

import orjson

from c2c_rest._json_fault import Default

# A float in marshal's version 2: its code, eight bytes (the exponent last), and the code of what may follow.
_MARSHALLED = re.compile(rb"g.{6}[\xf0-\xff][\x7f\xff](?:[]{}gluiNTF0(\[]|\Z)", re.DOTALL)
# A float in a pickle: its code, eight bytes (the exponent first).
_PICKLED = re.compile(rb"G[\x7f\xff][\xf0-\xff]")


def has_odd_float(value: Any, default: Default, body: bytes) -> bool:
    """Tell whether NaN or infinity is in ``value``, or in what ``default`` makes of its objects.

    ``body`` is what orjson has written of it: so there are no cycles, and all keys of objects are texts.
    """
    return _is_suspect(value, default) and _judge(value, default, body)


def _is_suspect(value: Any, default: Default) -> bool:
    try:
        return _MARSHALLED.search(marshal.dumps(value, 2)) is not None
    except ValueError:
        # There are objects that are not exactly of a built-in type.
        pass
    probe = io.BytesIO()
    try:
        _Probe(probe, default).dump(value)
    except Exception:  # noqa: BLE001 # the probe is not sure: the judge is
        return True
    return _PICKLED.search(probe.getbuffer()) is not None


def _judge(value: Any, default: Default, body: bytes) -> bool:
    # A null that was a NaN is no longer equal to what it was.
    if orjson.loads(body) == value:
        return False
    try:
        json.dumps(value, default=default, allow_nan=False)
    except ValueError:
        return True
    return False


class _Probe(pickle.Pickler):
    """Pickles for the sake of looking into the result; of an object, what becomes of it in JSON."""

    def __init__(self, file: io.BytesIO, default: Default) -> None:
        super().__init__(file, protocol=5)
        # No memory of what was pickled: without cycles there is no need of it.
        self.fast = True
        self._default = default

    def reducer_override(self, value: Any) -> Any:
        """Handle what is not exactly of a built-in type."""
        if value is list:
            return NotImplemented
        if isinstance(value, str | int):
            return list, ()
        if isinstance(value, dict):
            return list, (list(value.items()),)
        if isinstance(value, list):
            return list, (value[:],)
        return list, ([self._default(value)],)
