"""What a log record says, as fields: the same for every dialect."""

import logging
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any

from c2c_logging._context import RequestContext, current
from c2c_logging._exception_text import exception_text
from c2c_logging._extras import extras
from c2c_logging._plain import Walk
from c2c_logging._texts import message_of, safe, text_of


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


def syslog_level(number: int) -> int:
    """Return the severity of RFC 5424 for a level of logging: 2, 3, 4, 6 or 7."""
    if number >= logging.CRITICAL:
        return 2
    if number >= logging.ERROR:
        return 3
    if number >= logging.WARNING:
        return 4
    return 6 if number >= logging.INFO else 7


def collect(record: logging.LogRecord) -> Fields:
    """Return all that a record says. Never raises for any message, argument or extra."""
    message, problem = message_of(record)
    name = safe(text_of(record.name))
    core: dict[str, Any] = {
        "host": host_name(),
        "timestamp": record.created,
        "level": syslog_level(record.levelno),
        "level_name": text_of(record.levelname),
        "logger_name": name,
        "source_facility": name,
        "msg": safe(message),
        "file": text_of(record.pathname),
        "line": record.lineno,
        "function": text_of(record.funcName),
        "pid": record.process,
        "thread_name": text_of(record.threadName),
        "process_name": text_of(record.processName),
    }
    walk = Walk()
    core = {key: walk.plain(value) for key, value in core.items()}
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
    info = record.exc_info
    if info:
        error = info[1] if isinstance(info, tuple) and len(info) == 3 else info  # noqa: PLR2004 # sys.exc_info()
        if isinstance(error, BaseException):
            text = exception_text(error, info[2] if isinstance(info, tuple) else error.__traceback__)
    elif record.exc_text:
        text = safe(text_of(record.exc_text))  # of a record that crossed a queue
    if record.stack_info:
        text = (text or "") + safe(text_of(record.stack_info))
    return text
