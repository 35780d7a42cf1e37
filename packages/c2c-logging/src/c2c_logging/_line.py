"""One record as one line of JSON, fast.

What a place in the code says (logger, level, file, line, function) never changes, nor does what a thread or a request
says: those parts are encoded once and kept. A record that is usual in every respect is put together from them; any
other takes the long way of ``collect`` and ``fit``, with the same result.
"""

import logging
from functools import lru_cache

from c2c_logging._context import CURRENT, RequestContext, current
from c2c_logging._dialects import DIALECTS
from c2c_logging._extras import extras_text
from c2c_logging._fields import collect, full_message, host_name, syslog_level
from c2c_logging._fit import LIMIT, fit
from c2c_logging._texts import dumps, encode, message_of, printable, safe, text_of

_BARE = logging.makeLogRecord({}).__dict__
_USUAL = len(_BARE)
_LAST = next(reversed(_BARE))
# Between these, a time in whole microseconds has 16 digits.
_FIRST_SECOND = 1_000_000_000  # in 2001
_LAST_SECOND = 9_999_999_999  # in 2286


def line_of(record: logging.LogRecord, dialect: str = "c2c", limit: int = LIMIT) -> str:
    """Return a record as strict JSON in ASCII, without an end of line, of at most ``limit`` bytes. Never raises."""
    if dialect == "c2c":
        try:
            line = _fast(record)
            if len(line) <= limit:
                return line
        except Exception:  # noqa: BLE001, S110 # a record may be made by anybody, of anything: the long way takes it
            pass
    try:
        return fit(collect(record), DIALECTS[dialect], limit)
    except Exception as error:  # noqa: BLE001 # as above
        return _last_resort(record, error)


def _fast(record: logging.LogRecord) -> str:
    message, args = record.msg, record.args
    tail = ""
    try:
        if args:
            message = message % args
    except Exception:  # noqa: BLE001 # wrong arguments, or a __str__ that raises
        message, problem = message_of(record)
        tail = f',"format_error":{encode(safe(problem or ""))}'
    if type(message) is not str:
        message = message_of(record)[0]
    if record.exc_info or record.exc_text or record.stack_info:
        trace = full_message(record)
        if trace is not None:
            tail += f',"full_message":{encode(trace)},"full_msg":"true"'
    attributes = record.__dict__
    if len(attributes) != _USUAL or next(reversed(attributes)) != _LAST:
        tail += extras_text(record)
    created = record.created
    if not _FIRST_SECOND <= created < _LAST_SECOND:
        raise ValueError("created is no time of this age")
    # repr() of a float takes three times as long.
    time = str(int(created * 1e6))
    context = CURRENT.get() or current()
    if context is not None:
        tail = (context.rendered or _request(context)) + tail
    return (
        f'{{"timestamp":{time[:10]}.{time[10:]}'
        f"{_place(record.name, record.levelno, record.levelname, record.pathname, record.lineno, record.funcName)}"
        f"{_process(record.process, record.threadName, record.processName)}"
        f'"msg":{encode(safe(message))}{tail}}}'
    )


@lru_cache(maxsize=4096)
def _place(name: str, level: int, level_name: str, file: str, line: int, function: str) -> str:
    logger = encode(safe(name))
    return (
        f',"level":{syslog_level(level)},"level_name":{encode(printable(level_name))},"logger_name":{logger}'
        f',"source_facility":{logger},"file":{encode(printable(file))},"line":{int(line)}'
        f',"function":{encode(printable(function))}'
    )


@lru_cache(maxsize=1024)
def _process(pid: int, thread: str, process: str) -> str:
    return (
        f',"host":{encode(host_name())},"pid":{int(pid)},"thread_name":{encode(printable(thread))}'
        f',"process_name":{encode(printable(process))},'
    )


def _request(context: RequestContext) -> str:
    """Return what the line says of the request; once the route is known, that is what it is until the end."""
    route = context.matched_route
    if route is None and context.early is not None:
        return context.early
    text = f",{dumps({key: safe(value) for key, value in context.fields().items()})[1:-1]}"
    if route is None:
        context.early = text
    else:
        context.rendered = text
    return text


def _last_resort(record: logging.LogRecord, error: Exception) -> str:
    """Return what can be told of a record that nothing else could read."""
    message = text_of(record.__dict__.get("msg"))[:1000]
    return dumps({"msg": safe(message), "format_error": f"{type(error).__name__}: {safe(text_of(error)[:1000])}"})
