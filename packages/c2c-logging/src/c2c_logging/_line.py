"""One record as one line of JSON.

What a place in the code, a thread and a request say does not change: those parts are made once and kept as text. Values
are bounded, masked, and made of what JSON knows: cycles, NaN, odd keys, bytes and objects that raise are no obstacle.
"""

import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache, partial
from json import loads
from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Any, Final
from urllib.parse import quote

from c2c_broadcast import cached, names_secret
from c2c_broadcast.process import host_name
from c2c_logging._request_ids import CURRENT, RequestContext, current
from c2c_logging._texts import LONGEST, full_message, masker, message_of, printable, safe, text_of

orjson: Any
try:
    import orjson

    _STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
except ImportError:  # the extra is not installed
    orjson = None

LIMIT: Final = 32_000  # bytes of the longest line
# Attributes of each record; all others are extras.
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# Names of our own fields, in lines with a request or without: an extra of such a name is moved.
RESERVED = frozenset(
    {
        *("host", "timestamp", "level", "level_name", "logger_name", "source_facility", "msg", "file", "line"),
        *("function", "pid", "thread_name", "process_name", "full_message", "full_msg", "truncated", "format_error"),
        *("client_addr", "method", "path", "matched_route", "request_id"),
    }
)
# What logging itself puts on a record, in its order; extras come behind.
_BARE = list(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
_USUAL, _LAST = len(_BARE), _BARE[-1]
_FAR = 1e11  # seconds: what a calendar can say
_MOST_OF_A_NAME = 500
_SHORTEST = 60  # bytes that each text keeps where a line has too many of them
# What a path may have as it is (RFC 3986, 3.3).
_PATH_SAFE = "/~!$&'()*+,;=:@"
MASKED: Final = "***"
_DEEPEST = 16
_ROOM = 64_000  # characters of all texts and names of a record; any other value counts as some
_OF_A_VALUE = 32
_BIGGEST = 2**63  # beyond, readers round
_LEFT_OUT = "..."
_CONTAINERS = (Mapping, list, tuple, set, frozenset)
_LONGEST_KEY = 200
_LONG = 200
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
# A text, and the colon that makes it a key, of JSON in which nothing is escaped.
_TEXT = re.compile(r'"([^"]*)"(:?)')
# Both give ASCII: it fits every stream, and no kind of new line survives in it.
dumps = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
encode = encode_basestring_ascii


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

    @cached
    def taken(self) -> frozenset[str]:
        """The names that no extra may have."""
        own = {name.removeprefix(self.extras) for name in self.names.values() if name.startswith(self.extras)}
        return RESERVED | own | {"@timestamp", self.trace_id}

    @cached
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
    lambda created: f'"@timestamp":"{datetime.fromtimestamp(created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"',
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


def line_of(record: logging.LogRecord, dialect: str = "c2c", limit: int = LIMIT) -> str:
    """Return a record as strict JSON in ASCII, without an end of line, of at most ``limit`` bytes. Never raises."""
    try:
        return _line(record, DIALECTS[dialect], limit)
    except Exception as error:  # noqa: BLE001 # a record may be made by anybody, of anything
        message, _ = message_of(record.__dict__)
        problem = f"{type(error).__name__}: {text_of(error)}"
        return dumps({"msg": safe(message[:1000]), "format_error": safe(problem[:1000])})


def _line(record: logging.LogRecord, dialect: Dialect, limit: int) -> str:
    found = record.__dict__
    heads = dialect.heads
    message, problem = message_of(found)
    created = record.created
    if type(created) is not float or not 0 <= created < _FAR:
        created = time.time()
    place = _place(
        dialect, record.name, record.levelno, record.levelname, record.pathname, record.lineno, record.funcName
    )
    process = _process(dialect, record.process, record.threadName, record.processName)
    context = CURRENT.get() or current()
    request = "" if context is None else _request(context, dialect)
    # The first ones stay where a line is cut to very little.
    line = f"{{{dialect.timestamp(created)}{heads['msg']}{text_json(safe(message))}{request}{place}{process}"
    if record.exc_info or record.exc_text or record.stack_info:
        trace = full_message(record)
        if trace is not None:
            line += f"{heads['full_message']}{text_json(trace)}{dialect.part({'full_msg': 'true'})}"
    if problem is not None:
        line += heads["format_error"] + text_json(safe(problem))
    if len(found) != _USUAL or next(reversed(found)) != _LAST:
        walk = Walk()
        for name, value in extras_of(record, walk, dialect.taken).items():
            line += f",{encode(dialect.extras + name)}:{value}"
        if walk.truncated:
            line += f"{heads['truncated']}true"
    line += f"{dialect.fixed}}}"
    if len(line) > limit:
        line = fit(line, limit, dialect.names["truncated"])
    return dialect.grouped(line) if dialect.groups else line


@lru_cache(maxsize=4096)
def _place(dialect: Dialect, name: Any, level: Any, level_name: Any, file: Any, line: Any, function: Any) -> str:
    logger = _name(name)
    fields = dialect.level(syslog_level(level), _name(level_name))
    fields |= {"logger_name": logger, "source_facility": logger, "file": _name(file)}
    return dialect.part({**fields, "line": Walk().plain(line), "function": _name(function)})


@lru_cache(maxsize=1024)
def _process(dialect: Dialect, pid: Any, thread: Any, process: Any) -> str:
    fields = {"pid": Walk().plain(pid), "thread_name": _name(thread), "process_name": _name(process)}
    return dialect.part({"host": host_name(), **fields})


def _name(value: Any) -> str:
    text = safe(text_of(value))
    return text if len(text) <= _MOST_OF_A_NAME else f"{text[:_MOST_OF_A_NAME]}..."


def _request(context: RequestContext, dialect: Dialect) -> str:
    """Return what the line says of the request; once the route is known, that is what it is until the end."""
    routed, text = context.rendered.get(dialect, (False, ""))
    if routed:
        return text
    route = getattr(getattr(context.request, "matched_route", None), "name", None)
    if route is None and text:
        return text
    environ = context.request.environ
    forwarded = environ.get("HTTP_X_FORWARDED_FOR")
    # The path as it is in URLs, percent-encoded: the bytes that came (PEP 3333), be they text or not.
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    fields = {
        "client_addr": forwarded.split(",")[0].strip() if forwarded else environ.get("REMOTE_ADDR", ""),
        "method": environ.get("REQUEST_METHOD", ""),
        "path": quote(path.encode("latin-1", "replace"), _PATH_SAFE),
        "request_id": context.request_id,
    }
    if route is not None:
        fields["matched_route"] = route
    whole = " ".join(fields.values())
    if len(whole) > _MOST_OF_A_NAME or safe(whole) != whole:
        fields = {name: _name(value) for name, value in fields.items()}
    heads = dialect.heads
    text = "".join([heads[name] + encode(value) for name, value in fields.items()])
    if dialect.trace_id:
        text += f',"{dialect.trace_id}":"{context.trace.trace_id}"'
    context.rendered[dialect] = (route is not None, text)
    return text


def extras_of(record: logging.LogRecord, walk: "Walk", taken: frozenset[str] = RESERVED) -> dict[str, str]:
    """Return the extras as JSON; no name begins with an underscore, one of ``taken`` moves to ``extra_<name>``."""
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
    return (7, 6, 4, 3, 2)[max(0, min(int(number) // 10 - 1, 4))]


def text_json(text: str) -> str:
    """Return a text as JSON in ASCII: ``encode``, or what does a long one in a tenth of its time."""
    if orjson is not None and len(text) > _LONG and text.isascii():
        encoded: str = orjson.dumps(text).decode("ascii")
        return encoded
    return encode(text)


def value_text(value: Any, walk: "Walk") -> str:
    """Return any value as JSON in ASCII, masked."""
    kind = type(value)
    if kind is str:
        return text_json(walk.text(value))
    if (kind is int and -_BIGGEST <= value < _BIGGEST) or (kind is float and math.isfinite(value)):
        return repr(value)
    if (kind is dict or kind is list) and orjson is not None and (text := _usual_text(value)) is not None:
        return text
    return dumps(walk.plain(value))


def _usual_text(value: Any) -> str | None:
    """Return what ``Walk`` makes of a dict or list that it leaves as it is, as JSON; None for any other.

    A walk takes a microsecond for each value in it. Here orjson takes what JSON knows and nothing else, and one look at
    the text tells whether it is small, flat, ASCII without escapes, and without a secret.
    """
    try:
        found = orjson.dumps(value, option=_STRICT)
    except (TypeError, RecursionError):
        return None
    if len(found) > LONGEST or b"\\" in found or not found.isascii():
        return None
    if (found.count(b",") + found.count(b":") + found.count(b"[")) * _OF_A_VALUE > _ROOM:
        return None
    brackets = found.translate(None, _NO_BRACKETS)
    for _ in range(_DEEPEST):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    if brackets:
        return None
    text: str = found.decode()
    if not masker().may_hold(text):
        return text
    hides = masker()(text, None) != text or any(colon and names_secret(key) for key, colon in _TEXT.findall(text))
    return None if hides else text


class Walk:
    """One walk over the values of a record. ``truncated`` tells whether something was left out."""

    __slots__ = ("_room", "truncated")

    def __init__(self) -> None:
        self._room = _ROOM
        self.truncated = False

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return the value made of dict, list, str, int, float, bool and None only, masked. Never raises."""
        try:
            return self._plain(value, depth)
        except Exception as error:  # noqa: BLE001 # iteration and attributes are anybody's code
            return f"<{type(value).__name__} that raised {type(error).__name__}>"

    def text(self, value: Any) -> str:
        """Return the value as a text, masked. Never raises."""
        if isinstance(value, bytes | bytearray):
            value = value[:_ROOM].decode("utf-8", "backslashreplace")
        text = safe(text_of(value))
        self._room -= len(text)
        return text

    def _plain(self, value: Any, depth: int) -> Any:
        self._room -= _OF_A_VALUE
        if isinstance(value, Enum):
            value = value.value
        is_container = isinstance(value, _CONTAINERS)
        if self._room < 0 or (is_container and depth >= _DEEPEST):
            self.truncated = True
            return _LEFT_OUT
        if is_container:
            return self._dict(value, depth + 1) if isinstance(value, Mapping) else self._list(value, depth + 1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, float):
            return float.__float__(value) if math.isfinite(value) else None
        is_number = isinstance(value, int) and -_BIGGEST <= value < _BIGGEST
        return int.__index__(value) if is_number else self.text(value)

    def _list(self, value: Any, depth: int) -> list[Any]:
        found: list[Any] = []
        for item in value:
            found.append(self.plain(item, depth))
            if self._room < 0:
                break
        return found

    def _dict(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = key_text(key)
            self._room -= len(name)
            while name in found:
                name += "_"
            found[name] = MASKED if is_hidden(name, item) else self.plain(item, depth)
            if self._room < 0:
                break
        return found


def is_hidden(name: str, value: Any) -> bool:
    """Tell whether a field holds a secret: its name says so, and there is something in it."""
    return names_secret(name) and value is not None and value is not False


def key_text(key: Any) -> str:
    """Return a key as the name of a field."""
    if isinstance(key, bytes):
        return key[:_LONGEST_KEY].decode("utf-8", "backslashreplace")
    return printable(text_of(key)[:_LONGEST_KEY])


def fit(line: str, limit: int, mark: str = "truncated") -> str:
    """Return a line of JSON, whoever made it, cut to ``limit`` bytes, with the field ``mark`` that says so.

    Short texts stay, long ones share what room there is; where that is too little, what comes last goes.
    """
    try:
        found = {**loads(line), mark: True}
    except (ValueError, TypeError):  # no JSON, or no object
        return line[:limit]
    sizes: list[int] = []
    _changed(found, lambda text: sizes.append(len(text_json(text))))
    sizes.sort()
    room = limit - len(dumps(found)) + sum(sizes)
    share = 0
    for left, size in zip(range(len(sizes), 0, -1), sizes, strict=True):
        share = room // left
        if size > share:
            break
        room -= size
    cut = _changed(found, partial(_shortened, max(share, _SHORTEST)))
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


def _changed(value: Any, change: Callable[[str], Any]) -> Any:
    """Return a value with each of its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    return [_changed(item, change) for item in value] if isinstance(value, list) else value


def _shortened(size: int, text: str) -> str:
    """Return a text of at most ``size`` bytes; both ends stay, for errors end a traceback."""
    shorter, keep = text, len(text)
    while keep and (bytes_of := len(text_json(shorter))) > size:
        keep = min(keep - 1, keep * max(0, size - 2) // bytes_of)
        half = keep // 2
        shorter = f"{text[:half]}...({len(text) - 2 * half} characters left out)...{text[len(text) - half :]}"
    return shorter
