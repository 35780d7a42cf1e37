"""What the tests of this package share."""

import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import Masker, broadcast
from c2c_broadcast.process import service_folder
from c2c_health import HealthCheck
from c2c_health._runner import Runner


class Service:
    """An application with checks, and its HTTP side. ``health`` takes checks; the first request makes it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.config = Configurator(settings=settings)
        self.health = HealthCheck(self.config)

    @property
    def app(self) -> TestApp:
        """The application over WebTest; made once."""
        if not hasattr(self, "_app"):
            self._app = TestApp(self.config.make_wsgi_app())
        return self._app

    def get(self, path: str = "/health_check", **options: Any) -> Any:
        """Ask for something under the base path."""
        return self.app.get(f"/c2c{path}", **options)

    @property
    def checks(self) -> Any:
        """The state behind it."""
        return self.config.registry["health_check"]


@pytest.fixture(autouse=True)
def _broadcaster() -> Iterator[None]:
    """Give each test a broadcaster of its own: it is of the process."""
    before = broadcast.set_broadcaster(broadcast.Broadcaster())
    yield
    broadcast.set_broadcaster(before).close()


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    """Let each test hear what is said once a service."""
    shutil.rmtree(service_folder("said"))


@pytest.fixture
def service() -> Iterator[Callable[..., Service]]:
    """Make applications: ``service(**{"c2c.secret": ...})``; their threads end with the test."""
    made: list[Service] = []

    def make(**settings: Any) -> Service:
        made.append(Service(settings))
        return made[-1]

    yield make
    for one in made:
        one.checks.runner.close()


class Registry:
    """As much of a registry as a run needs."""

    def queryUtility(self, *_: Any) -> None:  # noqa: D102, N802 # Pyramid's
        return None


@pytest.fixture
def make() -> Iterator[Callable[[], Any]]:
    """Make runners with a request of no application; what they heard is in ``runner.heard``."""
    runners: list[Any] = []

    def make_one() -> Any:
        heard: list[Any] = []
        runner: Any = Runner(Registry(), Masker(), lambda _check, _run, now, changed: heard.append((now, changed)))
        runner.heard = heard
        runners.append(runner)
        return runner

    yield make_one
    for runner in runners:
        runner.close()


@pytest.fixture
def hang() -> Iterator[Callable[[Any], None]]:
    """Give a check function that hangs until the test ends."""
    end = threading.Event()

    def forever(_request: Any) -> None:
        end.wait(120)

    yield forever
    end.set()
