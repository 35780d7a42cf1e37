"""What a JSON log line costs, beside its peers. Run: ``python -m benchmarks logging_lines``.

All write the same to /dev/null: time, level, logger, message, file, line, function, process, thread, host, and of the
request its method, path, route, address and id. Peers are set up as their documentation says: python-json-logger with
a filter that puts the request's fields on the record; structlog with contextvars, once as a handler of ``logging`` (no
other way leads from the libraries of a service to it) and once with loggers of its own. In time of the
processor.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import orjson
import structlog
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.threadlocal import get_current_request
from pythonjsonlogger.orjson import OrjsonFormatter
from structlog.processors import CallsiteParameter

from benchmarks._case import Case, Growth, alternate, timed
from benchmarks._table import Found, show
from c2c_logging import JsonLogHandler
from c2c_logging._request_ids import CURRENT, RequestContext

_ROUNDS = 60
_SIZES = (100, 1_000, 4_000, 16_000, 32_000)
_OURS = "c2c-logging"
_JSON_LOGGER = "python-json-logger with orjson"
_HANDLER = "structlog with orjson, as a handler of logging"
_OWN = "structlog with orjson, loggers of its own"
_PLAIN = "plain logging, no JSON"
_FIELDS = (
    "%(created)f %(levelname)s %(name)s %(message)s %(pathname)s %(lineno)d %(funcName)s %(process)d %(threadName)s "
    "%(processName)s"
)
_PLACES = [
    CallsiteParameter.PATHNAME,
    CallsiteParameter.LINENO,
    CallsiteParameter.FUNC_NAME,
    CallsiteParameter.PROCESS,
    CallsiteParameter.PROCESS_NAME,
    CallsiteParameter.THREAD_NAME,
]
# Issue 26.
_BARS = {_JSON_LOGGER: 0.67}
_EXCEPTION_BARS = {_JSON_LOGGER: 0.15}

Call = Callable[[], object]


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Found]:
    """Measure lines inside a request of Pyramid."""
    found: list[Found] = []
    config = Configurator(settings={})
    config.include("c2c_logging")
    config.add_route("hello", "/api/hello")

    def view(request: Any) -> dict[str, str]:
        found.extend(_lines(request))
        return {}

    config.add_view(view, route_name="hello", renderer="json")
    request = Request.blank("/api/hello", headers={"X-Request-ID": "6f0f2a66-6e2c-4f0e-9d1f-0d3c3f1d2f3a"})
    try:
        request.get_response(config.make_wsgi_app())
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()
    yield from found


def _lines(request: Any) -> Iterator[Found]:
    with open(os.devnull, "w") as sink, open(os.devnull, "wb") as bytes_sink:  # noqa: PTH123 # os.devnull is no Path
        logs = _contenders(sink, bytes_sink)
        error = _ten_frames()
        yield _case("a JSON log line of a request", {name: _message(log) for name, log in logs.items()}, _BARS)
        firsts = {
            _OURS: logs[_OURS],
            _JSON_LOGGER: _logger(_handler(OrjsonFormatter(_FIELDS), sink), _fields),
        }
        cases = {name: _first_line(request, log) for name, log in firsts.items()}
        yield _case("the first line of a request", cases, {_JSON_LOGGER: 0.8})
        yield _case("the same with two extras", {name: _extras(name, log) for name, log in logs.items()}, {})
        exceptions = {name: _exception(log, error) for name, log in logs.items()}
        yield _case("a JSON log line of an exception, ten frames", exceptions, _EXCEPTION_BARS, lines=30)
        bars = {_JSON_LOGGER: 2.0}
        yield _case("a line of 4 kB", {name: _text(log, 4_000) for name, log in logs.items()}, bars, lines=50)
        bars = {_JSON_LOGGER: 3.0}
        yield _case("a line of 31 kB", {name: _text(log, 31_000) for name, log in logs.items()}, bars, lines=10)
        bars = {_JSON_LOGGER: 4.0}
        yield _case(
            "a nested extra of 3.4 kB", {name: _nested(name, log) for name, log in logs.items()}, bars, lines=20
        )
        sizes = {size: timed(_text(logs[_OURS], size), 20, clock=time.thread_time) for size in _SIZES}
        points = tuple((size, min(take() for _ in range(20))) for size, take in sizes.items())
        yield Growth("a JSON log line of so many bytes", "bytes", "us", points)
        yield _case("a level that is off", {name: _disabled(log) for name, log in logs.items()}, {}, lines=2_000)


def _case(name: str, writes: dict[str, Call], bars: dict[str, float], lines: int = 200) -> Case:
    found = alternate({who: timed(write, lines, clock=time.thread_time) for who, write in writes.items()}, _ROUNDS)
    ours = found.pop(_OURS)
    return Case(name, "us", ours, tuple(one.bar(most=bars.get(one.name)) for one in found.values()))


def _contenders(sink: TextIO, bytes_sink: Any) -> dict[str, Any]:
    fields = _fields()
    structlog.contextvars.bind_contextvars(**fields)
    processors = structlog.processors
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            processors.add_log_level,
            processors.CallsiteParameterAdder(_PLACES),
            processors.TimeStamper(fmt=None),
            processors.format_exc_info,
            processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(file=bytes_sink),
        cache_logger_on_first_use=True,
    )
    as_handler = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            processors.CallsiteParameterAdder(_PLACES),
            processors.TimeStamper(fmt=None),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            processors.format_exc_info,
            processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value).decode()),
        ],
    )
    return {
        _OURS: _logger(JsonLogHandler(sink)),
        _JSON_LOGGER: _logger(_handler(OrjsonFormatter(_FIELDS), sink), lambda: fields),
        _HANDLER: _logger(_handler(as_handler, sink)),
        _OWN: structlog.get_logger().bind(logger="app.views"),
        _PLAIN: _logger(_handler(logging.Formatter(f"%(asctime)s {_FIELDS}"), sink)),
    }


def _handler(formatter: logging.Formatter, sink: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(sink)
    handler.setFormatter(formatter)
    return handler


def _fields() -> dict[str, Any]:
    """Return what a filter puts on a record of the request that is being handled."""
    request = get_current_request()
    return {
        "client_addr": request.client_addr,
        "method": request.method,
        "path": request.path,
        "matched_route": request.matched_route.name,
        "request_id": request.c2c_request_id,
        "host": "host.example.com",
    }


def _logger(handler: logging.Handler, fields: Callable[[], dict[str, Any]] | None = None) -> logging.Logger:
    logger = logging.Logger("app.views", logging.INFO)  # noqa: LOG001 # not to be found by name
    logger.addHandler(handler)
    if fields:
        # What one does to have a request in each line: a filter that puts it on the record.
        def add(record: logging.LogRecord) -> bool:
            record.__dict__.update(fields())
            return True

        handler.addFilter(add)
    return logger


def _message(log: Any) -> Call:
    return lambda: log.info("Handled request for user %s in %s ms", 1234, 12.5)


def _first_line(request: Any, log: Any) -> Call:
    context = CURRENT.get()
    assert context is not None

    def write() -> None:
        # As the tween does it for each request; a peer asks the request once, too.
        token = CURRENT.set(RequestContext(request, context.request_id, context.sources))
        log.info("Handled request for user %s in %s ms", 1234, 12.5)
        CURRENT.reset(token)

    return write


def _extras(name: str, log: Any) -> Call:
    if name == _OWN:
        return lambda: log.info("Handled request", user=1234, duration=12.5)
    return lambda: log.info("Handled request", extra={"user": 1234, "duration": 12.5})


def _text(log: Any, size: int) -> Call:
    text = ("lorem ipsum dolor sit amet " * size)[:size]
    return lambda: log.info("%s", text)


def _nested(name: str, log: Any) -> Call:
    body = {"items": [{"id": n, "name": f"item {n}", "price": n * 1.5, "tags": ["a", "b"]} for n in range(60)]}
    if name == _OWN:
        return lambda: log.info("Handled request", body=body)
    return lambda: log.info("Handled request", extra={"body": body})


def _exception(log: Any, error: BaseException) -> Call:
    return lambda: log.error("Request failed", exc_info=error)


def _disabled(log: Any) -> Call:
    return lambda: log.debug("Handled request for user %s in %s ms", 1234, 12.5)


def _ten_frames() -> BaseException:
    def deeper(frames: int) -> None:
        if frames == 1:
            raise ValueError("no such thing")
        deeper(frames - 1)

    try:
        deeper(9)
    except ValueError as error:
        return error
    raise AssertionError


if __name__ == "__main__":
    main()
