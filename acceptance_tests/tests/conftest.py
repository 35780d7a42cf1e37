"""The demo's own start-up, for the tests: the same servers and the same service as ``make run``."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from acceptance_tests import demo as start
from acceptance_tests.client import Client, wait_for
from c2c_testing.servers import PostgresPair, Redis, free_port


@pytest.fixture(scope="session")
def _servers() -> Iterator[tuple[PostgresPair, Redis]]:
    with start.databases() as servers:
        yield servers


@pytest.fixture(scope="session")
def _shared(_servers: tuple[PostgresPair, Redis]) -> Iterator[start.Demo]:
    with start.service(*_servers, port=free_port(), arguments=start.PATIENT) as demo:
        yield demo


@pytest.fixture
def demo(_shared: start.Demo) -> Iterator[start.Demo]:
    """Give the demo with 3 workers; what a test broke is mended after it."""
    yield _shared
    _shared.redis.restore()
    _shared.databases.restore()


@pytest.fixture
def client(demo: start.Demo) -> Client:
    """Give a user of the demo."""
    client = Client(demo)
    wait_for(lambda: client.members()["complete"] and client.pids() == demo.service.workers())
    wait_for(client.all_read_the_replica)
    return client


@pytest.fixture
def new_demo(_servers: tuple[PostgresPair, Redis]) -> Iterator[Callable[..., start.Demo]]:
    """Give a function that starts another service on the same servers, whose processes know each other only."""
    with ExitStack() as stack:

        def run(environ: Mapping[str, str] | None = None, **options: Any) -> start.Demo:
            port = free_port()
            own = {"C2C_BROADCAST_PREFIX": f"service_{port}_", **(environ or {})}
            return stack.enter_context(start.service(*_servers, port=port, environ=own, **options))

        yield run


@pytest.fixture
def hooked_demo(new_demo: Callable[..., start.Demo], tmp_path: Path) -> Callable[[str], start.Demo]:
    """Give a function that starts a service with two workers of one thread, and this text as gunicorn's file."""

    def run(configuration: str) -> start.Demo:
        path = tmp_path / "gunicorn_hooks.py"
        path.write_text(configuration)
        arguments = ["-k", "sync", "--threads", "1", "-c", str(path), *start.PATIENT]
        return new_demo(workers=2, arguments=arguments)

    return run
