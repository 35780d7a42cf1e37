"""One record as one line of JSON.

What a place in the code says (logger, level, file, line, function) never changes, nor does what a thread or a request
says: those parts are made once and kept as text. A line that is too long is read again and cut. A dialect says what
fields are called.
"""

import linecache
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import groupby
from json import loads
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

from c2c_broadcast.process import host_name
from c2c_logging._request_ids import CURRENT, RequestContext, current
from c2c_logging._values import (
    MASKED,
    MASKING,
    Walk,
    dumps,
    encode,
    is_hidden,
    key_text,
    message_of,
    safe,
    text_json,
    text_of,
    value_text,
)

LIMIT: Final = 32_000
"""Bytes of the longest line."""

STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes of each record; all others are extras."""

RESERVED = frozenset(
    {
        *("host", "timestamp", "level", "level_name", "logger_name", "source_facility", "msg", "file", "line"),
        *("function", "pid", "thread_name", "process_name", "full_message", "full_msg", "truncated", "format_error"),
        *("client_addr", "method", "path", "matched_route", "request_id"),
    }
)
"""Names of our own fields, in lines with a request or without: an extra of such a name is moved."""

# What logging itself puts on a record, in its order; extras come behind.
_BARE = list(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
_USUAL, _LAST = len(_BARE), _BARE[-1]
_FAR = 1e11  # seconds: what a calendar can say
_MOST_OF_A_NAME = 500
_SHORTEST = 60  # bytes that each text keeps where a line has too many of them
# What a path may have as it is (RFC 3986, 3.3).
_PATH_SAFE = "/~!$&'()*+,;=:@"

_MOST_FRAMES = 100
_MOST_LINKS = 20
_REPEATS = 3
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


# -- dialects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # a key of caches: hashed by identity
class Dialect:
    """The names of fields: ``names`` of our own; a field that it does not name is left out.

    ``extras`` stands before the names of extras. Fields of which the name begins with one of ``groups`` and a dot
    stand in an object of that name. ``fixed`` is what each line says.
    """

    names: dict[str, str]
    timestamp: Callable[[float], str]
    level: Callable[[int, str], dict[str, Any]]
    trace_id: str = ""
    groups: tuple[str, ...] = ()
    extras: str = ""
    fixed: str = ""

    @cached_property
    def taken(self) -> frozenset[str]:
        """The names that no extra may have."""
        own = {name.removeprefix(self.extras) for name in self.names.values() if name.startswith(self.extras)}
        return RESERVED | own | {"@timestamp", self.trace_id}

    @cached_property
    def heads(self) -> dict[str, str]:
        """What stands in a line before the value of each of our fields."""
        return {key: f",{encode(name)}:" for key, name in self.names.items()}

    def part(self, fields: dict[str, Any]) -> str:
        """Return fields as JSON, each with a comma before it."""
        heads = self.heads
        return "".join(
            heads[key] + (encode(value) if type(value) is str else dumps(value))
            for key, value in fields.items()
            if key in heads
        )

    def grouped(self, line: str) -> str:
        """Return a line with its groups as objects."""
        found: dict[str, Any] = {}
        for name, value in loads(line).items():
            group, _, rest = name.partition(".")
            if group in self.groups:
                found.setdefault(group, {})[rest] = value
            else:
                found[name] = value
        return dumps(found)


def _iso_time(created: float) -> str:
    return f'"@timestamp":"{datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}"'


_C2C = Dialect(
    {name: name for name in RESERVED},
    lambda created: f'"timestamp":{created:.6f}',
    lambda number, name: {"level": number, "level_name": name},
)
# Elastic Common Schema 8, https://www.elastic.co/guide/en/ecs/current/ecs-field-reference.html
_ECS = Dialect(
    {
        "level": "log.syslog.severity.code",
        "level_name": "log.level",
        "host": "host.hostname",
        "logger_name": "log.logger",
        "msg": "message",
        "file": "log.origin.file.name",
        "line": "log.origin.file.line",
        "function": "log.origin.function",
        "pid": "process.pid",
        "process_name": "process.name",
        "thread_name": "process.thread.name",
        "full_message": "error.stack_trace",
        "client_addr": "client.address",
        "method": "http.request.method",
        "request_id": "http.request.id",
        "path": "url.path",
        "matched_route": "labels.matched_route",
        "format_error": "labels.format_error",
        "truncated": "labels.truncated",
    },
    _iso_time,
    lambda number, name: {"level": number, "level_name": name.lower()},
    trace_id="trace.id",
    fixed=',"ecs.version":"8.11.0"',
)
# OpenTelemetry's log data model and semantic conventions, https://opentelemetry.io/docs/specs/otel/logs/data-model/,
# https://opentelemetry.io/docs/specs/semconv/. Its "Mapping of SeverityNumber", from the severities of syslog:
_OTEL_SEVERITY = {2: 21, 3: 17, 4: 13, 6: 9, 7: 5}
_OTEL = Dialect(
    {
        "level": "SeverityNumber",
        "level_name": "SeverityText",
        "msg": "Body",
        "host": "Resource.host.name",
        "pid": "Resource.process.pid",
        "process_name": "Resource.process.executable.name",
        "logger_name": "InstrumentationScope.Name",
        "file": "Attributes.code.file.path",
        "line": "Attributes.code.line.number",
        "function": "Attributes.code.function.name",
        "thread_name": "Attributes.thread.name",
        "full_message": "Attributes.exception.stacktrace",
        "client_addr": "Attributes.client.address",
        "method": "Attributes.http.request.method",
        "path": "Attributes.url.path",
        "matched_route": "Attributes.http.route",
        "request_id": "Attributes.http.request.header.x-request-id",
        "format_error": "Attributes.log.format_error",
        "truncated": "Attributes.log.truncated",
    },
    lambda created: f'"Timestamp":{round(created * 1e6) * 1000}',
    lambda number, name: {"level": _OTEL_SEVERITY[number], "level_name": name},
    trace_id="TraceId",
    groups=("Resource", "InstrumentationScope", "Attributes"),
    extras="Attributes.",
)
DIALECTS: Final = {"c2c": _C2C, "ecs": _ECS, "otel": _OTEL}
"""The values of LOG_JSON_DIALECT."""


# -- lines -------------------------------------------------------------------------------------------------------------


def line_of(record: logging.LogRecord, dialect: str = "c2c", limit: int = LIMIT) -> str:
    """Return a record as strict JSON in ASCII, without an end of line, of at most ``limit`` bytes. Never raises."""
    try:
        return _line(record, DIALECTS[dialect], limit)
    except Exception as error:  # noqa: BLE001 # a record may be made by anybody, of anything
        message = text_of(record.__dict__.get("msg"))[:1000]
        return dumps({"msg": safe(message), "format_error": f"{type(error).__name__}: {safe(text_of(error)[:1000])}"})


def _line(record: logging.LogRecord, dialect: Dialect, limit: int) -> str:
    found = record.__dict__
    heads = dialect.heads
    message, problem = message_of(found)
    created = found.get("created")
    if type(created) is not float or not 0 <= created < _FAR:
        created = time.time()
    try:
        place = _place(
            dialect, record.name, record.levelno, record.levelname, record.pathname, record.lineno, record.funcName
        )
        process = _process(dialect, record.process, record.threadName, record.processName)
    except (TypeError, AttributeError):  # of what can't be a key, or is not there
        place = _place.__wrapped__(dialect, *map(found.get, _PLACE))
        process = _process.__wrapped__(dialect, *map(found.get, _PROCESS))
    context = CURRENT.get() or current()
    request = "" if context is None else _request(context, dialect)
    # The first ones stay where a line is cut to very little.
    line = f"{{{dialect.timestamp(created)}{heads['msg']}{text_json(safe(message))}{request}{place}{process}"
    if found.get("exc_info") or found.get("exc_text") or found.get("stack_info"):
        trace = full_message(record)
        if trace is not None:
            mark = ',"full_msg":"true"' if "full_msg" in heads else ""
            line += f"{heads['full_message']}{text_json(trace)}{mark}"
    if problem is not None:
        line += heads["format_error"] + text_json(safe(problem))
    if len(found) != _USUAL or next(reversed(found)) != _LAST:
        walk = Walk()
        for name, value in extras_of(record, dialect.taken, walk).items():
            line += f",{encode(dialect.extras + name)}:{value}"
        if walk.truncated:
            line += f"{heads['truncated']}true"
    line += f"{dialect.fixed}}}"
    if len(line) > limit:
        line = fit(line, limit, dialect.names["truncated"])
    return dialect.grouped(line) if dialect.groups else line


_PLACE = ("name", "levelno", "levelname", "pathname", "lineno", "funcName")
_PROCESS = ("process", "threadName", "processName")


@lru_cache(maxsize=4096)
def _place(dialect: Dialect, name: Any, level: Any, level_name: Any, file: Any, line: Any, function: Any) -> str:
    logger = _name(name)
    number = syslog_level(level if isinstance(level, int | float) else logging.NOTSET)
    fields = dialect.level(number, _name(level_name))
    fields |= {"logger_name": logger, "source_facility": logger, "file": _name(file)}
    return dialect.part({**fields, "line": Walk().plain(line), "function": _name(function)})


@lru_cache(maxsize=1024)
def _process(dialect: Dialect, pid: Any, thread: Any, process: Any) -> str:
    fields = {"pid": Walk().plain(pid), "thread_name": _name(thread), "process_name": _name(process)}
    return dialect.part({"host": host_name(), **fields})


def _name(value: Any) -> str:
    text = Walk().text(value)
    return text if len(text) <= _MOST_OF_A_NAME else f"{text[:_MOST_OF_A_NAME]}..."


def _request(context: RequestContext, dialect: Dialect) -> str:
    """Return what the line says of the request; once the route is known, that is what it is until the end."""
    routed, text = context.rendered.get(dialect, (False, ""))
    if routed:
        return text
    route = getattr(getattr(context.request, "matched_route", None), "name", None)
    if route is None and text:
        return text
    environ, heads = context.request.environ, dialect.heads
    forwarded = environ.get("HTTP_X_FORWARDED_FOR")
    address = forwarded.split(",")[0].strip() if forwarded else environ.get("REMOTE_ADDR", "")
    method = environ.get("REQUEST_METHOD", "")
    # The path as it is in URLs, percent-encoded: the bytes that came (PEP 3333), be they text or not.
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    path = quote(path.encode("latin-1", "replace"), _PATH_SAFE)
    request_id = context.request_id
    whole = f"{address} {method} {path} {request_id} {route}"
    if len(whole) > _MOST_OF_A_NAME or safe(whole) != whole:
        address, method, path, request_id = map(_name, (address, method, path, request_id))
        route = route and _name(route)
    text = (
        f"{heads['client_addr']}{encode(address)}{heads['method']}{encode(method)}"
        f"{heads['path']}{encode(path)}{heads['request_id']}{encode(request_id)}"
    )
    if route is not None:
        text += heads["matched_route"] + encode(route)
    if dialect.trace_id:
        text += f',"{dialect.trace_id}":"{context.trace.trace_id}"'
    context.rendered[dialect] = (route is not None, text)
    return text


def extras_of(record: logging.LogRecord, taken: frozenset[str] = RESERVED, walk: Walk | None = None) -> dict[str, str]:
    """Return the extras as JSON; no name begins with an underscore, one of ``taken`` moves to ``extra_<name>``."""
    walk = walk or Walk()
    extras: dict[str, str] = {}
    for key, value in list(record.__dict__.items()):
        if key in STANDARD:
            continue
        name = key_text(key).lstrip("_") or "extra"
        while name in taken or name in extras:
            name = f"extra_{name}"
        extras[name] = f'"{MASKED}"' if is_hidden(name, value) else value_text(value, walk)
    return extras


def syslog_level(number: float) -> int:
    """Return the severity of RFC 5424 for a level of logging: 2, 3, 4, 6 or 7."""
    if number >= logging.CRITICAL:
        return 2
    if number >= logging.ERROR:
        return 3
    if number >= logging.WARNING:
        return 4
    return 6 if number >= logging.INFO else 7


# -- what does not fit -------------------------------------------------------------------------------------------------


def fit(line: str, limit: int, mark: str = "truncated") -> str:
    """Return a line of JSON, whoever made it, cut to ``limit`` bytes, with the field ``mark`` that says so.

    Short texts stay, long ones share what room there is; where that is too little, what comes last goes.
    """
    try:
        found = {**loads(line), mark: True}
    except (ValueError, TypeError):  # no JSON, or no object
        return line[:limit]
    sizes = sorted(len(encode(text)) for text in _texts(found))
    room = limit - len(dumps(found)) + sum(sizes)
    share = 0
    for left, size in zip(range(len(sizes), 0, -1), sizes, strict=True):
        share = room // left
        if size > share:
            break
        room -= size
    cut = _cut(found, max(share, _SHORTEST))
    shorter = dumps(cut)
    if len(shorter) <= limit:
        return shorter
    kept, room = {}, limit - len(dumps({mark: True}))
    for name, value in cut.items():
        size = len(dumps({name: value}))  # the braces are a comma's and more
        if size <= room and name != mark:
            kept[name] = value
            room -= size
    return dumps({**kept, mark: True})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _cut(value: Any, size: int) -> Any:
    """Return a value, its texts of more than ``size`` bytes cut; both ends stay, for errors end a traceback."""
    if isinstance(value, dict):
        return {key: _cut(item, size) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item, size) for item in value]
    if not isinstance(value, str):
        return value
    shorter, keep = value, len(value)
    while keep and (bytes_of := len(encode(shorter))) > size:
        keep = min(keep - 1, keep * max(0, size - 2) // bytes_of)
        half = keep // 2
        shorter = f"{value[:half]}...({len(value) - 2 * half} characters left out)...{value[len(value) - half :]}"
    return shorter


# -- exceptions --------------------------------------------------------------------------------------------------------


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


def exception_text(error: BaseException, trace: TracebackType | None) -> str:
    """Return what Python would print for an exception that nobody caught, without marks and masked. Never raises.

    ``traceback.format_exception`` takes 170 us for ten frames, for it looks at the source and the byte code of each to
    draw ``^^^`` marks; walking them by hand takes a few. Each frame's text is made, and masked, once.
    """
    try:
        return _chain(error, trace)
    except Exception as problem:  # noqa: BLE001 # attributes of exceptions are anybody's code
        return f"{type(error).__name__}: (its traceback can't be made: {type(problem).__name__})\n"


def _chain(error: BaseException, trace: TracebackType | None) -> str:
    blocks: list[str] = []
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen and len(seen) < _MOST_LINKS:
        if isinstance(link, SyntaxError | BaseExceptionGroup):
            return _by_the_library(error, trace)
        seen.add(id(link))
        blocks.append(_one(link, trace if link is error else link.__traceback__))
        if link.__cause__ is not None:
            link = link.__cause__
            blocks.append(_CAUSE)
        elif link.__context__ is not None and not link.__suppress_context__:
            link = link.__context__
            blocks.append(_CONTEXT)
        else:
            link = None
    if len(blocks) % 2 == 0:  # an end that was not reached
        blocks.pop()
    return "".join(reversed(blocks))


def _one(error: BaseException, trace: TracebackType | None) -> str:
    head = f"Traceback (most recent call last):\n{_frames(trace)}" if trace is not None else ""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    message = safe(text_of(error))
    text = f"{head}{name}: {message}\n" if message else f"{head}{name}\n"
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        text += "".join(f"{safe(text_of(note))}\n" for note in notes[:_MOST_LINKS])
    return text


def _frames(trace: TracebackType | None) -> str:
    frames: list[str] = []
    version = MASKING.version
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(_frame(code.co_filename, trace.tb_lineno, code.co_name, version))
        trace = trace.tb_next
    if len(frames) > _MOST_FRAMES // 2:
        frames = _shortened(frames)
    return "".join(frames)


def _shortened(frames: list[str]) -> list[str]:
    """Say once what a recursion repeats, then keep both ends."""
    kept: list[str] = []
    for frame, group in groupby(frames):
        count = sum(1 for _ in group)
        kept += [frame] * min(count, _REPEATS)
        if count > _REPEATS:
            kept.append(f"  [Previous line repeated {count - _REPEATS} more times]\n")
    half = _MOST_FRAMES // 2
    if len(kept) > _MOST_FRAMES:
        kept[half:-half] = [f"  [{len(kept) - _MOST_FRAMES} frames left out]\n"]
    return kept


@lru_cache(maxsize=4096)
def _frame(filename: str, line: int | None, function: str, _version: int) -> str:
    source = linecache.getline(filename, line or 0).strip()
    text = f'  File "{filename}", line {line}, in {function}\n'
    return safe(f"{text}    {source}\n" if source else text)


def _by_the_library(error: BaseException, trace: TracebackType | None) -> str:
    """Groups and syntax errors have forms of their own, and are rare enough to take the library's time."""
    whole = traceback.TracebackException(type(error), error, trace, compact=True, limit=_MOST_FRAMES)
    return safe("".join(whole.format(chain=True)))
