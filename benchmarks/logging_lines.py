"""What a JSON log line costs, beside its peers. Run: ``python -m benchmarks.logging_lines``.

All write to /dev/null, inside a request of which each line says method, path, route, address and id; rounds of all
contenders alternate, the best round of each counts, in time of the processor.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any, TextIO

import orjson
import structlog
from pyramid.config import Configurator
from pyramid.request import Request
from pythonjsonlogger.json import JsonFormatter
from pythonjsonlogger.orjson import OrjsonFormatter

from c2c_logging import JsonLogHandler

_ROUNDS = 60
_LINES = 500
_FIELDS = (
    "%(created)f %(levelname)s %(name)s %(message)s %(pathname)s %(lineno)d %(funcName)s %(process)d %(threadName)s"
)

Write = Callable[[], object]
Logs = dict[str, Any]


def main() -> None:
    """Print microseconds a line, and how many times ours they are."""
    request = Request.blank("/api/hello", headers={"X-Request-ID": "6f0f2a66-6e2c-4f0e-9d1f-0d3c3f1d2f3a"})
    config = Configurator(settings={})
    config.include("c2c_logging")
    config.add_route("hello", "/api/hello")
    config.add_view(_all, route_name="hello", renderer="json")
    with open(os.devnull, "w") as sink:  # noqa: PTH123 # os.devnull is no Path
        request.environ["benchmark.sink"] = sink
        request.get_response(config.make_wsgi_app())


def _all(request: Any) -> dict[str, str]:
    logs = _contenders(request, request.environ["benchmark.sink"])
    error = _ten_frames()
    _table("with a request", {name: _message(log) for name, log in logs.items()})
    _table("with a request and two extras", {name: _extras(name, log) for name, log in logs.items()})
    _table("with an exception of ten frames", {name: _exception(log, error) for name, log in logs.items()}, lines=60)
    _table("a level that is off", {name: _disabled(log) for name, log in logs.items()}, lines=5_000)
    return {}


def _table(title: str, writes: dict[str, Write], lines: int = _LINES) -> None:
    best = dict.fromkeys(writes, float("inf"))
    for _ in range(_ROUNDS):
        for name, write in writes.items():
            start = time.thread_time()
            for _ in range(lines):
                write()
            best[name] = min(best[name], (time.thread_time() - start) / lines * 1e6)
    print(f"{title}:")
    for name, microseconds in best.items():
        print(f"  {name:32} {microseconds:8.2f} us  {microseconds / best['c2c-logging']:6.2f} x ours")


def _contenders(request: Any, sink: TextIO) -> Logs:
    fields = {
        "client_addr": "127.0.0.1",
        "method": request.method,
        "path": request.path,
        "matched_route": request.matched_route.name,
        "request_id": request.c2c_request_id,
    }
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.CallsiteParameterAdder(
                [
                    structlog.processors.CallsiteParameter.PATHNAME,
                    structlog.processors.CallsiteParameter.LINENO,
                    structlog.processors.CallsiteParameter.FUNC_NAME,
                    structlog.processors.CallsiteParameter.PROCESS,
                    structlog.processors.CallsiteParameter.THREAD_NAME,
                ]
            ),
            structlog.processors.TimeStamper(fmt=None),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(file=open(os.devnull, "wb")),  # noqa: PTH123, SIM115 # as long as us
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**fields)
    plain = logging.StreamHandler(sink)
    plain.setFormatter(logging.Formatter(f"%(asctime)s {_FIELDS}"))
    return {
        "c2c-logging": _logger(JsonLogHandler(sink)),
        "python-json-logger": _logger(_peer(JsonFormatter, sink), fields),
        "python-json-logger with orjson": _logger(_peer(OrjsonFormatter, sink), fields),
        "structlog with orjson": structlog.get_logger(),
        "plain logging, no JSON": _logger(plain),
    }


def _peer(formatter: type[Any], sink: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(sink)
    handler.setFormatter(formatter(_FIELDS))
    return handler


def _logger(handler: logging.Handler, fields: dict[str, str] | None = None) -> logging.Logger:
    logger = logging.Logger("app.views", logging.INFO)  # noqa: LOG001 # not to be found by name
    logger.addHandler(handler)
    if fields:
        # What one does to have a request in each line: a filter that puts it on the record.
        def add(record: logging.LogRecord) -> bool:
            record.__dict__.update(fields)
            return True

        handler.addFilter(add)
    return logger


def _message(log: Any) -> Write:
    return lambda: log.info("Handled request for user %s in %s ms", 1234, 12.5)


def _extras(name: str, log: Any) -> Write:
    if name.startswith("structlog"):
        return lambda: log.info("Handled request", user=1234, duration=12.5)
    return lambda: log.info("Handled request", extra={"user": 1234, "duration": 12.5})


def _exception(log: Any, error: BaseException) -> Write:
    return lambda: log.error("Request failed", exc_info=error)


def _disabled(log: Any) -> Write:
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
