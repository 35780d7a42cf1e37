"""What a JSON log line costs, beside python-json-logger. Run: ``python -m benchmarks logging_lines``.

Both write the same to /dev/null: time, level, logger, message, file, line, function, process, thread, host, and of the
request its method, path, route, address and id. The peer is set up as its documentation says, with orjson and a filter
that puts the request's fields on the record. In time of the processor. Bars: issue 26.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.threadlocal import get_current_request
from pythonjsonlogger.orjson import OrjsonFormatter

from benchmarks._case import Found, Growth, measured, timed
from c2c_logging import JsonLogHandler
from c2c_logging._request_ids import CURRENT, RequestContext

_OURS = "c2c-logging"
_PEER = "python-json-logger with orjson"
_FIELDS = (
    "%(created)f %(levelname)s %(name)s %(message)s %(pathname)s %(lineno)d %(funcName)s %(process)d %(threadName)s "
    "%(processName)s"
)
_NESTED = {"items": [{"id": n, "name": f"item {n}", "price": n * 1.5, "tags": ["a", "b"]} for n in range(60)]}
_SIZES = (100, 1_000, 4_000, 16_000, 32_000)
Write = Callable[[logging.Logger], object]


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
    request.get_response(config.make_wsgi_app())
    yield from found


def _lines(request: Any) -> Iterator[Found]:
    context = CURRENT.get()
    assert context is not None
    error = _ten_frames()

    def info(log: logging.Logger) -> None:
        log.info("Handled request for user %s in %s ms", 1234, 12.5)

    def first(log: logging.Logger) -> None:
        # As the tween does it for each request.
        token = CURRENT.set(RequestContext(request, context.request_id, context.settings))
        info(log)
        CURRENT.reset(token)

    asked: tuple[tuple[str, Write, float, int], ...] = (
        ("of a request", info, 0.67, 200),
        ("the first of a request", first, 0.8, 200),
        ("of an exception, ten frames", lambda log: log.error("Request failed", exc_info=error), 0.15, 30),
        ("of 4 kB", _text(4_000), 2, 50),
        ("of 31 kB", _text(31_000), 3, 10),
        ("with a nested extra of 3.4 kB", lambda log: log.info("Handled request", extra={"body": _NESTED}), 4, 20),
    )
    with open(os.devnull, "w") as sink:  # noqa: PTH123 # os.devnull is no Path
        stream = logging.StreamHandler(sink)
        stream.setFormatter(OrjsonFormatter(_FIELDS))
        ours = _logger(JsonLogHandler(sink))
        peer = _logger(stream)
        fields = _fields()
        for title, write, bar, lines in asked:
            # What one does to have a request in each line; the request is asked once, for its first line.
            stream.filters = [_put(_fields) if write is first else _put(lambda: fields)]
            takes = {
                name: timed(lambda log=log, write=write: write(log), lines, clock=time.thread_time)  # type: ignore[misc] # of a loop
                for name, log in ((_OURS, ours), (_PEER, peer))
            }
            yield measured(f"a JSON log line {title}", "us", takes, 60, most={_PEER: bar})
        points = {}
        for size in _SIZES:
            write = _text(size)
            take = timed(lambda write=write: write(ours), 20, clock=time.thread_time)  # type: ignore[misc] # of a loop
            points[size] = min(take() for _ in range(20))
        yield Growth("a JSON log line of so many bytes", "us", points)


def _logger(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("app.views", logging.INFO)  # noqa: LOG001 # not to be found by name
    logger.addHandler(handler)
    return logger


def _put(fields: Callable[[], dict[str, Any]]) -> Callable[[logging.LogRecord], bool]:
    def add(record: logging.LogRecord) -> bool:
        record.__dict__.update(fields())
        return True

    return add


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


def _text(size: int) -> Write:
    text = ("lorem ipsum dolor sit amet " * size)[:size]
    return lambda log: log.info("%s", text)


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
