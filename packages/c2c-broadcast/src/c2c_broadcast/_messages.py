"""Messages between members: JSON, bounded, checked."""

import json
from typing import Any

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of the longest message, 16 MiB."""

MAX_DEPTH = 5
"""Callbacks that broadcast may be nested so deep."""


class BadMessageError(Exception):
    """A message that is dropped: the text says why."""


class UnsendableError(Exception):
    """A value that no message can hold: the text says why."""


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode(value: Any) -> str:
    """Return ``value`` as JSON.

    Raises:
        UnsendableError: JSON can't hold it (a set, NaN, a cycle), or it is over 16 MiB.
    """
    try:
        text = _ENCODER.encode(value)
    except RecursionError:
        raise UnsendableError("JSON can't hold it: it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise UnsendableError(f"JSON can't hold it: {error}") from None
    # The encoder escapes what is not ASCII, so that characters are bytes.
    if len(text) > MAX_MESSAGE:
        raise UnsendableError(f"it is over {MAX_MESSAGE:,} bytes as JSON ({len(text):,})")
    return text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def decode(data: bytes | str) -> Any:
    """Return what is in a JSON text.

    Raises:
        BadMessageError: It is not JSON, or over 16 MiB.
    """
    # A little more than what is sent: the envelope.
    if len(data) > MAX_MESSAGE + 4096:
        raise BadMessageError(f"it is over {MAX_MESSAGE:,} bytes")
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError):
        raise BadMessageError("it is not JSON") from None


def decode_object(data: bytes, **shape: type) -> dict[str, Any]:
    """Return the JSON object in a message, which has at least the keys of ``shape`` with values of these types.

    Raises:
        BadMessageError: It has not.
    """
    message = decode(data)
    if not isinstance(message, dict):
        raise BadMessageError("it is not a JSON object")
    for key, kind in shape.items():
        if type(message.get(key)) is not kind:
            raise BadMessageError(f"its {key!r} is missing or no {kind.__name__}")
    return message
