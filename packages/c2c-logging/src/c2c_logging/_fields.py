"""What a log record says, as fields: the same for every dialect."""

import logging
import socket
import time
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any

from c2c_logging._context import RequestContext, current
from c2c_logging._exception_text import exception_text
from c2c_logging._extras import extras
from c2c_logging._plain import Walk
from c2c_logging._texts import message_of, safe, text_of

_FAR = 1e11  # seconds: what a calendar can say


@dataclass(frozen=True, slots=True)
class Fields:
    """One record: ``core`` are our own fields (named as in ``RESERVED``), ``extras`` what the caller added."""

    core: dict[str, Any]
    extras: dict[str, Any]
    context: RequestContext | None


@cache
def host_name() -> str:
    """Return the fully qualified name of this host, looked up once."""
    try:
        return socket.getfqdn()
    except OSError:
        return "localhost"


def syslog_level(number: float) -> int:
    """Return the severity of RFC 5424 for a level of logging: 2, 3, 4, 6 or 7."""
    if number >= logging.CRITICAL:
        return 2
    if number >= logging.ERROR:
        return 3
    if number >= logging.WARNING:
        return 4
    return 6 if number >= logging.INFO else 7


def collect(record: logging.LogRecord) -> Fields:
    """Return all that a record says. Never raises, whatever the record's attributes are."""
    found = record.__dict__
    walk = Walk()
    message, problem = message_of(record)
    level = found.get("levelno")
    name = walk.text(found.get("name"))
    core: dict[str, Any] = {
        "host": host_name(),
        "timestamp": _time(found.get("created")),
        "level": syslog_level(level if isinstance(level, int | float) else logging.NOTSET),
        "level_name": walk.text(found.get("levelname")),
        "logger_name": name,
        "source_facility": name,
        "msg": safe(message),
        "file": walk.text(found.get("pathname")),
        "line": walk.plain(found.get("lineno")),
        "function": walk.text(found.get("funcName")),
        "pid": walk.plain(found.get("process")),
        "thread_name": walk.text(found.get("threadName")),
        "process_name": walk.text(found.get("processName")),
    }
    context = current()
    if context is not None:
        core.update((key, safe(value)) for key, value in context.fields().items())
    if (trace := full_message(record)) is not None:
        core["full_message"] = trace
        core["full_msg"] = "true"
    if problem is not None:
        core["format_error"] = safe(problem)
    added = extras(record, walk)
    if walk.truncated:
        core["truncated"] = True
    return Fields(core, added, context)


def full_message(record: logging.LogRecord) -> str | None:
    """Return the traceback of a record and the stack it was asked for, None without any."""
    text = None
    found = record.__dict__
    info = found.get("exc_info")
    if info:
        error = info[1] if isinstance(info, tuple) and len(info) == 3 else info  # noqa: PLR2004 # sys.exc_info()
        if isinstance(error, BaseException):
            trace = info[2] if isinstance(info, tuple) else error.__traceback__
            text = exception_text(error, trace if isinstance(trace, TracebackType) else None)
    elif found.get("exc_text"):
        text = safe(text_of(found["exc_text"]))  # of a record that crossed a queue
    if found.get("stack_info"):
        text = (text or "") + safe(text_of(found["stack_info"]))
    return text


def _time(created: Any) -> float:
    return created if isinstance(created, float) and 0 <= created < _FAR else time.time()
