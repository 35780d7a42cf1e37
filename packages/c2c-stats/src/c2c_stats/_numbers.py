"""What is a number: floats and integers at once, others once they are made one, texts never."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

_LOG = logging.getLogger(__name__)

MOST = 1e300
"""The greatest number that is recorded: no sum of such ever becomes infinite."""


def convert(path: Sequence[str], record: Callable[[float], None], value: Any) -> None:
    """Record what is a number of another kind (Decimal, NumPy's); of anything else, say it to whoever looks for it."""
    try:
        if type(value) in {float, int} or isinstance(value, str | bytes | bytearray):
            raise TypeError("not a number")  # noqa: TRY301 # float() would read a text
        number = float(value)
    except Exception:  # noqa: BLE001 # anybody's object
        _LOG.debug("Metric %s: this is not a number: %s", ".".join(path), type(value), exc_info=True)
        return
    record(number)
