"""Messages and tracebacks of records as they may leave the process: bounded, masked, and text at all.

Masking is what takes time: a text is masked once, and one of a frame once a process.
"""

import linecache
import logging
import os
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from c2c_broadcast import Masker

# A line has 32 kB; what is longer is cut before it is looked at, and what a cut could have halved goes after masking.
LONGEST = 40_000
_MARGIN = 4_000
_MOST_FRAMES = 100
_MOST_LINKS = 20
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_KNOWN: list[Mapping[str, Any]] = []


@lru_cache(1)
def masker() -> Masker:
    """Return what hides the secrets of the environment and of every application: handlers outlive them."""
    return Masker.of(*_KNOWN, os.environ)


def learn(settings: Mapping[str, Any]) -> None:
    """Hide the secrets of these settings too."""
    if settings not in _KNOWN:
        _KNOWN.append(dict(settings))
        masker.cache_clear()


def safe(text: str) -> str:
    """Return a text as it may leave the process: without secrets, without lone surrogates, not endless."""
    if len(text) > LONGEST:
        return printable(masker()(text[:LONGEST], None)[:-_MARGIN]) + "..."
    text = masker()(text, None)
    return text if text.isascii() else printable(text)


def printable(text: str) -> str:
    # A lone surrogate is no Unicode text: a backslash and its number.
    return text.encode("utf-8", "backslashreplace").decode()


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


def full_message(record: logging.LogRecord) -> str | None:
    """Return the traceback of a record and the stack it was asked for, None without any."""
    text = None
    info: Any = record.exc_info
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        text = exception_text(error)
    elif record.exc_text:
        text = safe(text_of(record.exc_text))  # of a record that crossed a queue
    if record.stack_info:
        text = (text or "") + safe(text_of(record.stack_info))
    return text


def exception_text(error: BaseException) -> str:
    """Return what Python would print for an exception that nobody caught, without marks and masked. Never raises.

    ``traceback.format_exception`` takes 170 us for ten frames, for it looks at the source and the byte code of each to
    draw ``^^^`` marks; walking them by hand takes a few. Each frame's text is made, and masked, once.
    """
    text, link, seen = "", error, {id(error)}
    try:
        while not isinstance(link, SyntaxError | BaseExceptionGroup):
            text = _one(link) + text
            if link.__cause__ is not None:
                link, between = link.__cause__, _CAUSE
            elif link.__context__ is not None and not link.__suppress_context__:
                link, between = link.__context__, _CONTEXT
            else:
                return text
            if id(link) in seen or len(seen) >= _MOST_LINKS:
                return text
            seen.add(id(link))
            text = between + text
        # They have forms of their own, and are rare enough to take the library's time.
        return safe("".join(traceback.format_exception(error, limit=_MOST_FRAMES)))
    except Exception as problem:  # noqa: BLE001 # attributes of exceptions are anybody's code
        return f"{type(error).__name__}: (its traceback can't be made: {type(problem).__name__})\n"


def _one(error: BaseException) -> str:
    frames, trace, secrets = [], error.__traceback__, masker()
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(_frame(code.co_filename, trace.tb_lineno, code.co_name, secrets))
        trace = trace.tb_next
    half, left_out = _MOST_FRAMES // 2, len(frames) - _MOST_FRAMES
    if left_out > 0:
        frames[half:-half] = [f"  [{left_out} frames left out]\n"]
    head, kind = "Traceback (most recent call last):\n" if frames else "", type(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    message = safe(text_of(error))
    notes = (f"{safe(text_of(note))}\n" for note in getattr(error, "__notes__", [])[:_MOST_LINKS])
    return "".join((head, *frames, name, f": {message}\n" if message else "\n", *notes))


@lru_cache(maxsize=4096)
def _frame(filename: str, line: int | None, function: str, _masker: Masker) -> str:
    source = linecache.getline(filename, line or 0).strip()
    text = f'  File "{filename}", line {line}, in {function}\n'
    return safe(f"{text}    {source}\n" if source else text)
