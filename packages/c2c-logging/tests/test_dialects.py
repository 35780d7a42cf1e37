"""The dialects, held to golden files; and what the environment may say."""

import io
import json
import logging
from pathlib import Path

import pytest
from pyramid.request import Request

from c2c_broadcast import ConfigurationError
from c2c_logging import JsonLogHandler, LoggingSettings, _line
from c2c_logging._request_ids import CURRENT, RequestContext

GOLDEN = Path(__file__).parent / "golden"


class Route:
    """A matched route."""

    name = "hello"


@pytest.fixture
def record(monkeypatch):
    """One record of which nothing changes from run to run, inside a request."""
    monkeypatch.setattr(_line, "host_name", lambda: "host.example.com")
    _line._process.cache_clear()
    request = Request.blank(
        "/hello/you", headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    )
    request.remote_addr = "192.0.2.7"
    request.matched_route = Route
    token = CURRENT.set(RequestContext(request, "42 is the answer", LoggingSettings()))
    yield logging.makeLogRecord(
        {
            "name": "app.views",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "created": 1795345433.625385,
            "msg": "hello %s",
            "args": ("world",),
            "pathname": "/app/views.py",
            "lineno": 12,
            "funcName": "hello",
            "process": 123,
            "threadName": "Thread-1",
            "processName": "MainProcess",
            "exc_text": "Traceback (most recent call last):\nValueError: x",
            "answer": 42,
            "path": "moved",
            "message": "not an extra",
        }
    )
    CURRENT.reset(token)
    _line._process.cache_clear()


@pytest.mark.parametrize("dialect", ["c2c", "ecs", "otel"])
def test_a_dialect_is_as_its_golden_file_says(monkeypatch, record, strict, dialect):
    """Names and shapes of all fields."""
    monkeypatch.setenv("LOG_JSON_DIALECT", dialect)
    stream = io.StringIO()
    JsonLogHandler(stream).emit(record)
    found = strict(stream.getvalue()[:-1])
    assert found == json.loads((GOLDEN / f"{dialect}.json").read_text())


@pytest.mark.parametrize("dialect", ["ecs", "otel"])
@pytest.mark.parametrize("length", [20_000, 10_000_000])
def test_long_records_fit_in_every_dialect(monkeypatch, record, strict, dialect, length):
    """32 kB, strict, marked."""
    monkeypatch.setenv("LOG_JSON_DIALECT", dialect)
    stream = io.StringIO()
    record.args = ("y" * length,)
    record.big = {"x": ["y" * 100] * length}
    JsonLogHandler(stream).emit(record)
    assert "truncated" in json.dumps(strict(stream.getvalue()[:-1]))


def test_an_unknown_dialect_is_named(monkeypatch):
    """A typing error stops the start, not a line of it."""
    monkeypatch.setenv("LOG_JSON_DIALECT", "klingon")
    with pytest.raises(ConfigurationError, match=r"LOG_JSON_DIALECT.*klingon.*c2c, ecs, otel"):
        JsonLogHandler()
    monkeypatch.setenv("LOG_JSON_DIALECT", "ECS")
    monkeypatch.setenv("LOG_TYPE", "what is no business of a handler")
    assert JsonLogHandler().dialect == "ecs"
