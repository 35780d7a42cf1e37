"""What the tests of this package share."""

import http.client
import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import broadcast

SECRET = "an-operators-secret-of-some-length"


class Service:
    """An application with the tools; ``config`` may be added to before the first request."""

    def __init__(self, settings: dict[str, Any]) -> None:
        settings = {"c2c.debug_view_enabled": "true", "c2c.secret": SECRET, **settings}
        self.config = Configurator(settings=settings)
        self.config.include("c2c_debug")

    @property
    def app(self) -> TestApp:
        """The application over WebTest, with the operators' header; made once."""
        if not hasattr(self, "_app"):
            self._app = TestApp(self.config.make_wsgi_app())
        return self._app

    def get(self, path: str, **options: Any) -> Any:
        """Ask for something under the base path, as an operator."""
        headers = {"X-API-Key": SECRET, **options.pop("headers", {})}
        return self.app.get(f"/c2c{path}", headers=headers, **options)


@pytest.fixture(autouse=True)
def _broadcaster() -> Iterator[None]:
    """Give each test a broadcaster of its own: it is of the process."""
    before = broadcast.set_broadcaster(broadcast.Broadcaster())
    yield
    broadcast.set_broadcaster(before).close()


@pytest.fixture
def make_service() -> Callable[..., Service]:
    """Make applications: ``make_service(**{"c2c.sql_profiler_enabled": "true"})``."""
    return lambda **settings: Service(settings)


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """Give an application with the debug views."""
    return make_service()


class Workers:
    """A gunicorn whose workers are asked as an operator does."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        timeout: float = 60,
        body: str | None = None,
    ) -> Any:
        """Send one request on a connection of its own; return status, headers and body."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=timeout)
        try:
            connection.request(
                method, path, body, headers={"Connection": "close", "X-API-Key": SECRET, **(headers or {})}
            )
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def ask_all(self, path: str) -> list[bytes]:
        """Return the bodies of a dozen answers to as many connections at once: each worker is given one of them."""
        with ThreadPoolExecutor(12) as several:
            return [body for _, _, body in several.map(lambda _: self.ask("GET", path), range(12))]

    def get(self, path: str, **options: Any) -> Any:
        """Return what the JSON of a GET under the base path says."""
        status, _, body = self.ask("GET", f"/c2c{path}", **options)
        assert status == 200, body
        return json.loads(body)


@pytest.fixture
def workers(gunicorn: Any, redis_server: Any, tmp_path: Any) -> Callable[..., Workers]:
    """Start ``service:application`` of this source under gunicorn, its workers joined by Redis."""

    def start(source: str, workers: int = 3, **options: Any) -> Workers:
        (tmp_path / "service.py").write_text(source)
        env = {
            "C2C_SECRET": SECRET,
            "C2C_REDIS_URL": redis_server.url,
            "C2C_BROADCAST_PREFIX": f"test_{uuid.uuid4().hex[:8]}_",
            "C2C_DEBUG_VIEW_ENABLED": "1",
            **options.pop("env", {}),
        }
        args = ["--timeout", "120", "--threads", "4", "--worker-class", "gthread", *options.pop("args", [])]
        server = gunicorn("service:application", workers=workers, env=env, cwd=tmp_path, args=args, **options)
        return Workers(server)

    return start


def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return what ``check`` returns as soon as it is true; fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {found!r}"
        time.sleep(0.05)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """Give ``eventually``."""
    return eventually
