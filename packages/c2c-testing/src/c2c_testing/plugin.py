"""The pytest plugin: fixtures of servers and sinks. Nothing is imported or started until a test asks for it.

A fixture named after a server is one for the whole test run, because a start costs a second or more: a test that breaks
it restores it (``.restore()``, or the ``with`` forms). ``new_...`` is a function that starts another one, of the test's
own, with the options of the context manager in ``c2c_testing.servers``.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest


def _server(name: str, what: str) -> tuple[Any, Any]:
    """Make the fixtures of a server in ``c2c_testing.servers``: the test run's one, and a test's others."""

    def one() -> Iterator[Any]:
        with getattr(importlib.import_module("c2c_testing.servers"), name)() as server:
            yield server

    one.__doc__ = f"Give the test run's {what}."
    return pytest.fixture(one, scope="session", name=name), _starter(name, what, "c2c_testing.servers", f"new_{name}")


def _starter(name: str, what: str, module: str, fixture: str) -> Any:
    def start() -> Iterator[Callable[..., Any]]:
        with contextlib.ExitStack() as stack:
            begin = getattr(importlib.import_module(module), name)
            yield lambda *arguments, **options: stack.enter_context(begin(*arguments, **options))

    start.__doc__ = f"Give a function that starts a {what}, which lives as long as the test."
    return pytest.fixture(start, name=fixture)


def _sink(name: str, what: str) -> Any:
    def sink() -> Iterator[Any]:
        with getattr(importlib.import_module("c2c_testing.sinks"), name)() as server:
            yield server
        assert not server.errors

    sink.__doc__ = f"Give {what}; anything malformed fails the test."
    return pytest.fixture(sink)


postgres, new_postgres = _server("postgres", "PostgreSQL server")
postgres_pair, new_postgres_pair = _server("postgres_pair", "PostgreSQL primary and streaming replica")
redis_server, new_redis_server = _server("redis_server", "Redis protocol server")
redis_sentinel, new_redis_sentinel = _server("redis_sentinel", "Redis primary, replica and Sentinel")
gunicorn = _starter("gunicorn", "gunicorn", "c2c_testing.gunicorn", "gunicorn")
statsd_sink = _sink("StatsdSink", "a statsd server (UDP, unix datagrams) that keeps what it gets")
syslog_sink = _sink("SyslogSink", "a syslog server (UDP, TCP, unix datagrams) that keeps what it gets")
sentry_sink = _sink("SentrySink", "a Sentry server that keeps the envelopes it gets")
http_sink = _sink("HttpSink", "an HTTP server that keeps the requests it gets and answers as it is told")
