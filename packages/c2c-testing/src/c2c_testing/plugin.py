"""The pytest plugin: fixtures of servers and sinks. Nothing is imported or started until a test asks for it.

A fixture named after a server is one for the whole test run, because a start costs a second or more: a test that breaks
it restores it (``.restore()``, or the ``with`` forms). ``new_...`` is a function that starts another one, of the test's
own, with the options of the context manager in ``c2c_testing.servers``.
"""

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from c2c_testing.gunicorn import Gunicorn
    from c2c_testing.servers import Postgres, PostgresPair, Redis, RedisSentinel
    from c2c_testing.sinks import HttpSink, SentrySink, StatsdSink, SyslogSink


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """Give the test run's PostgreSQL server."""
    from c2c_testing import servers

    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_pair() -> "Iterator[PostgresPair]":
    """Give the test run's PostgreSQL primary and streaming replica."""
    from c2c_testing import servers

    with servers.postgres_pair() as pair:
        yield pair


@pytest.fixture(scope="session")
def redis_server() -> "Iterator[Redis]":
    """Give the test run's Redis protocol server."""
    from c2c_testing import servers

    with servers.redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_sentinel() -> "Iterator[RedisSentinel]":
    """Give the test run's Redis primary, replica and Sentinel."""
    from c2c_testing import servers

    with servers.redis_sentinel() as sentinel:
        yield sentinel


@pytest.fixture
def new_postgres() -> "Iterator[Callable[..., Postgres]]":
    """Give a function that starts a PostgreSQL server which lives as long as the test."""
    from c2c_testing import servers

    yield from _factory(servers.postgres)


@pytest.fixture
def new_postgres_pair() -> "Iterator[Callable[..., PostgresPair]]":
    """Give a function that starts a PostgreSQL pair which lives as long as the test."""
    from c2c_testing import servers

    yield from _factory(servers.postgres_pair)


@pytest.fixture
def new_redis_server() -> "Iterator[Callable[..., Redis]]":
    """Give a function that starts a Redis protocol server which lives as long as the test."""
    from c2c_testing import servers

    yield from _factory(servers.redis_server)


@pytest.fixture
def new_redis_sentinel() -> "Iterator[Callable[..., RedisSentinel]]":
    """Give a function that starts a Redis Sentinel set-up which lives as long as the test."""
    from c2c_testing import servers

    yield from _factory(servers.redis_sentinel)


@pytest.fixture
def gunicorn() -> "Iterator[Callable[..., Gunicorn]]":
    """Give a function that starts gunicorns which live as long as the test: ``gunicorn("module:app", workers=2)``."""
    from c2c_testing.gunicorn import gunicorn as manager

    yield from _factory(manager)


@pytest.fixture
def statsd_sink() -> "Iterator[StatsdSink]":
    """Give a statsd server (UDP, unix datagrams) that keeps what it gets; anything malformed fails the test."""
    from c2c_testing.sinks import StatsdSink

    with StatsdSink() as sink:
        yield sink
    assert not sink.errors


@pytest.fixture
def syslog_sink() -> "Iterator[SyslogSink]":
    """Give a syslog server (UDP, TCP, unix datagrams) that keeps what it gets; anything malformed fails the test."""
    from c2c_testing.sinks import SyslogSink

    with SyslogSink() as sink:
        yield sink
    assert not sink.errors


@pytest.fixture
def sentry_sink() -> "Iterator[SentrySink]":
    """Give a Sentry server that keeps the envelopes it gets; anything malformed fails the test."""
    from c2c_testing.sinks import SentrySink

    with SentrySink() as sink:
        yield sink
    assert not sink.errors


@pytest.fixture
def http_sink() -> "Iterator[HttpSink]":
    """Give an HTTP server that keeps the requests it gets and answers as it is told."""
    from c2c_testing.sinks import HttpSink

    with HttpSink() as sink:
        yield sink


def _factory(
    manager: "Callable[..., contextlib.AbstractContextManager[Any]]",
) -> "Iterator[Callable[..., Any]]":
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(manager(*arguments, **options))
