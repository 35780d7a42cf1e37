"""Texts on their way into a log line: bounded, masked, and nothing in them that JSON or a terminal could trip over."""

from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Any

from c2c_logging._masking import MASKING

# A line has 32 kB; what is longer is cut before it is looked at, and what a cut could have halved goes after masking.
_LONGEST = 40_000
_MARGIN = 2_000

dumps = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
"""Return plain data as JSON in ASCII."""

encode = encode_basestring_ascii
"""Return a text as a JSON string in ASCII: it fits every stream, and no kind of new line survives in it."""


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


def message_of(record: Any) -> tuple[str, str | None]:
    """Return the formatted message of a record, and why it could not be formatted where that is so."""
    try:
        message, args = record.msg, record.args
    except AttributeError:
        message, args = record.__dict__.get("msg"), record.__dict__.get("args")
    if type(message) is not str:
        message = text_of(message)
    try:
        return message % args if args else message, None
    except Exception as error:  # noqa: BLE001 # wrong arguments, or a __str__ that raises
        return f"{message} {text_of(args)}", f"{type(error).__name__}: {text_of(error)}"
