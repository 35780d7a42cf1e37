"""One record as one line of JSON.

What a place in the code says (logger, level, file, line, function) never changes, nor does what a thread or a request
says: those parts are made once and kept as text. A line is put together from parts; where it is too long, its long
parts are made again, shorter. A dialect says what the fields of each part are called.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from json import loads
from types import TracebackType
from typing import Any, Final

from c2c_broadcast.process import host_name
from c2c_logging._exceptions import exception_text
from c2c_logging._request_ids import CURRENT, RequestContext, current
from c2c_logging._values import (
    MASKED,
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
# How many characters of each text of the extras stay where they are too long, tried one after the other.
_CUTS = (4_000, 1_000, 250, 60, 20)
_SHORTEST = 20
_ODD = ("", "_")
_NONE: dict[str, str] = {}
_MOST_OF_A_NAME = 500


_key = lru_cache(maxsize=1024)(encode)


# -- dialects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # a key of caches: hashed by identity
class Dialect:
    """The names of fields. ``names`` are those of our own; a field that it does not name is left out.

    ``groups`` are the objects in which fields stand, by the beginning of their names (``Attributes.``); extras stand in
    ``extras``. ``fixed`` is what each line says.
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
        own = [self.split(name) for name in self.names.values()]
        return RESERVED | {name for group, name in own if group == self.extras} | {"@timestamp", self.trace_id}

    @cached_property
    def places(self) -> dict[str, tuple[int, str]]:
        """For each of our fields: in which group it stands, and its name as JSON with a comma and a colon."""
        found = {key: self.split(name) for key, name in self.names.items()}
        order = ("", *self.groups)
        return {key: (order.index(group), f",{encode(name)}:") for key, (group, name) in found.items()}

    def parts(self, fields: dict[str, Any]) -> tuple[str, ...]:
        """Return fields as JSON, each with a comma before it: those of the line itself, and of each group."""
        found = [""] * (1 + len(self.groups))
        places = self.places
        for key, value in fields.items():
            if key in places:
                group, head = places[key]
                found[group] += head + (encode(value) if type(value) is str else dumps(value))
        return tuple(found)

    def split(self, name: str) -> tuple[str, str]:
        """Return the group of a field, and its name there."""
        for group in self.groups:
            if name.startswith(f"{group}."):
                return group, name[len(group) + 1 :]
        return "", name


def _plain_time(created: float) -> str:
    return f'"timestamp":{created:.6f}'


def _iso_time(created: float) -> str:
    return f'"@timestamp":"{datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}"'


_C2C = Dialect(
    {name: name for name in RESERVED}, _plain_time, lambda number, name: {"level": number, "level_name": name}
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
    extras="Attributes",
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
    message, problem = message_of(found)
    texts = {"msg": safe(message)}
    created = found.get("created")
    if type(created) is not float or not 0 <= created < _FAR:
        created = time.time()
    try:
        parts = [
            _place(
                dialect, record.name, record.levelno, record.levelname, record.pathname, record.lineno, record.funcName
            ),
            _process(dialect, record.process, record.threadName, record.processName),
        ]
    except (TypeError, AttributeError):  # of what can't be a key, or is not there
        parts = [
            _place.__wrapped__(dialect, *map(found.get, _PLACE)),
            _process.__wrapped__(dialect, *map(found.get, _PROCESS)),
        ]
    context = CURRENT.get() or current()
    if context is not None:
        parts.append(context.rendered.get(dialect) or _request(context, dialect))
    if found.get("exc_info") or found.get("exc_text") or found.get("stack_info"):
        trace = full_message(record)
        if trace is not None:
            texts["full_message"] = trace
    if problem is not None:
        texts["format_error"] = safe(problem)
    extras, truncated = _NONE, False
    if len(found) != _USUAL or next(reversed(found)) != _LAST:
        walk = Walk()
        extras = _extras(found, walk, dialect.taken)
        truncated = walk.truncated
    head = dialect.timestamp(created)
    join = _grouped if dialect.groups else _flat
    line = join(dialect, head, parts, texts, extras, truncated=truncated)
    return line if len(line) <= limit else _fit(dialect, head, parts, texts, extras, limit)


def _flat(
    dialect: Dialect,
    head: str,
    parts: list[tuple[str, ...]],
    texts: dict[str, str],
    extras: dict[str, str],
    *,
    truncated: bool,
) -> str:
    """Return a line of one object."""
    line = f"{{{head}"
    for part in parts:
        line += part[0]
    places = dialect.places
    for name, text in texts.items():
        line += places[name][1] + text_json(text)
    if "full_message" in texts and dialect is _C2C:
        line += ',"full_msg":"true"'
    if extras:
        for name, value in extras.items():
            line += f",{_key(name)}:{value}"
    if truncated:
        line += f',"{dialect.names["truncated"]}":true'
    return f"{line}{dialect.fixed}}}"


def _grouped(
    dialect: Dialect,
    head: str,
    parts: list[tuple[str, ...]],
    texts: dict[str, str],
    extras: dict[str, str],
    *,
    truncated: bool,
) -> str:
    """Return a line of several objects."""
    own = dialect.parts({**texts, **({"truncated": True} if truncated else {})})
    sums = ["".join(group) for group in zip(*parts, own, strict=True)]
    added = "".join(f",{_key(name)}:{value}" for name, value in extras.items())
    groups = "".join(
        f',"{name}":{{{(text + (added if name == dialect.extras else ""))[1:]}}}'
        for name, text in zip(dialect.groups, sums[1:], strict=True)
    )
    return f"{{{head}{sums[0]}{groups}{dialect.fixed}}}"


_PLACE = ("name", "levelno", "levelname", "pathname", "lineno", "funcName")
_PROCESS = ("process", "threadName", "processName")


@lru_cache(maxsize=4096)
def _place(
    dialect: Dialect, name: Any, level: Any, level_name: Any, file: Any, line: Any, function: Any
) -> tuple[str, ...]:
    logger = _name(name)
    number = syslog_level(level if isinstance(level, int | float) else logging.NOTSET)
    fields = dialect.level(number, _name(level_name))
    fields |= {"logger_name": logger, "source_facility": logger, "file": _name(file)}
    return dialect.parts({**fields, "line": Walk().plain(line), "function": _name(function)})


@lru_cache(maxsize=1024)
def _process(dialect: Dialect, pid: Any, thread: Any, process: Any) -> tuple[str, ...]:
    fields = {"pid": Walk().plain(pid), "thread_name": _name(thread), "process_name": _name(process)}
    return dialect.parts({"host": host_name(), **fields})


def _name(value: Any) -> str:
    text = Walk().text(value)
    return text if len(text) <= _MOST_OF_A_NAME else f"{text[:_MOST_OF_A_NAME]}..."


def _request(context: RequestContext, dialect: Dialect) -> tuple[str, ...]:
    """Return what the line says of the request; once the route is known, that is what it is until the end."""
    route = context.matched_route
    if route is None and (early := context.early.get(dialect)) is not None:
        return early
    fields = context.fields(route)
    request_id = fields["request_id"]
    whole = f"{fields['client_addr']} {fields['method']} {fields['path']}"
    if not request_id.replace("-", "").isalnum():
        whole += f" {request_id}"
    if len(whole) > _MOST_OF_A_NAME or safe(whole) != whole:
        fields = {key: _name(value) for key, value in fields.items()}
    found = dialect.parts(fields)
    if dialect.trace_id:
        found = (f'{found[0]},"{dialect.trace_id}":"{context.trace.trace_id}"', *found[1:])
    (context.early if route is None else context.rendered)[dialect] = found
    return found


def _extras(found: dict[str, Any], walk: Walk, taken: frozenset[str]) -> dict[str, str]:
    """Return the extras as JSON; no name begins with an underscore, a reserved one moves to ``extra_<name>``."""
    extras: dict[str, str] = {}
    for key, value in list(found.items()):
        if key in STANDARD:
            continue
        name = key
        if type(key) is not str or key[:1] in _ODD or key in taken or key in extras or not key.isascii():
            name = key_text(key).lstrip("_") or "extra"
            while name in taken or name in extras:
                name = f"extra_{name}"
        extras[name] = f'"{MASKED}"' if is_hidden(name, value) else value_text(value, walk)
    return extras


# -- what does not fit -------------------------------------------------------------------------------------------------


def _fit(
    dialect: Dialect,
    head: str,
    parts: list[tuple[str, ...]],
    texts: dict[str, str],
    extras: dict[str, str],
    limit: int,
) -> str:
    """Return the line cut to ``limit`` bytes: what is short stays, the long ones share what room there is."""
    join = _grouped if dialect.groups else _flat
    empty = dict.fromkeys(texts, "")
    room = limit - len(join(dialect, head, parts, empty, {}, truncated=True))
    if room < len(texts) * _SHORTEST:
        parts, room = parts[:1], limit - len(join(dialect, head, parts[:1], empty, {}, truncated=True))
    sizes = {name: len(text_json(text)) for name, text in texts.items()}
    wanted = {"": sum(len(_key(name)) + len(value) + 2 for name, value in extras.items()), **sizes}
    shares = _shares(wanted, room)
    kept = _cut_extras(extras, shares[""])
    cut = {name: _cut_text(text, shares[name]) for name, text in texts.items()}
    line = join(dialect, head, parts, cut, kept, truncated=True)
    if len(line) <= limit:
        return line
    return dumps({"msg": _cut_text(texts["msg"], max(0, limit - 30)), "truncated": True})


def _shares(wanted: dict[str, int], room: int) -> dict[str, int]:
    """Share the room: the small ones have what they want, the others the same each."""
    shares: dict[str, int] = {}
    for left, (name, size) in enumerate(sorted(wanted.items(), key=lambda item: item[1]), -len(wanted)):
        shares[name] = max(0, min(size, room // -left))
        room -= shares[name]
    return shares


def _cut_text(text: str, room: int) -> str:
    """Return the text so that it takes at most ``room`` bytes as JSON; both ends stay, for errors end a traceback."""
    size = len(text_json(text))
    keep = len(text)
    shorter = text
    while size > room:
        keep = min(keep - 1, keep * max(0, room - 2) // size) if keep > _SHORTEST else 0
        half, left_out = keep // 2, len(text) - keep // 2 * 2
        shorter = f"{text[:half]}...({left_out} characters left out)...{text[len(text) - half :]}" if half else ""
        if not half:
            break
        size = len(text_json(shorter))
    return shorter


def _cut_extras(extras: dict[str, str], room: int) -> dict[str, str]:
    """Return those extras that fit, the texts of the others cut; as many as there is room for, in their order."""
    kept: dict[str, str] = {}
    for name, value in extras.items():
        head = len(_key(name)) + 2
        for shorter in _shorter(value):
            if head + len(shorter) <= room:
                kept[name] = shorter
                room -= head + len(shorter)
                break
    return kept


def _shorter(value: str) -> Iterator[str]:
    """Yield a value of JSON, then the same with its texts cut more and more."""
    yield value
    found = loads(value)
    for size in _CUTS:
        yield dumps(_cut(found, size))


def _cut(value: Any, size: int) -> Any:
    if isinstance(value, str) and len(value) > size:
        return f"{value[: size // 2]}...({len(value) - size} characters left out)...{value[-size // 2 :]}"
    if isinstance(value, dict):
        return {key: _cut(item, size) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item, size) for item in value]
    return value


def refit(line: str, limit: int) -> str:
    """Return a line of JSON, whoever made it, so that it has at most ``limit`` bytes."""
    try:
        found = loads(line)
    except ValueError:
        return line[:limit]
    if not isinstance(found, dict):
        return line[:limit]
    for size in (16_000, *_CUTS):
        shorter = dumps({**_cut(found, size), "truncated": True})
        if len(shorter) <= limit:
            return shorter
    first = ("timestamp", "level_name", "logger_name", "msg", "request_id")
    return dumps({**{key: _cut(found[key], _SHORTEST) for key in first if key in found}, "truncated": True})


# -- parts of a record that others say too -----------------------------------------------------------------------------


def syslog_level(number: float) -> int:
    """Return the severity of RFC 5424 for a level of logging: 2, 3, 4, 6 or 7."""
    if number >= logging.CRITICAL:
        return 2
    if number >= logging.ERROR:
        return 3
    if number >= logging.WARNING:
        return 4
    return 6 if number >= logging.INFO else 7


def plain_extras(record: logging.LogRecord) -> dict[str, str]:
    """Return the extras for people: texts without quotes, other values as JSON."""
    found = _extras(record.__dict__, Walk(), RESERVED)
    return {name: loads(value) if value[0] == '"' else value for name, value in found.items()}


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
