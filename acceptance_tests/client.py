"""A user of the demo, for its tests."""

import time
from collections.abc import Callable
from typing import Any

import requests

from acceptance_tests import demo as start


class Client:
    """One user of the service: a session with cookies, and the operators' header where it is asked for."""

    def __init__(self, demo: start.Demo) -> None:
        self.demo = demo
        self.session = requests.Session()

    def call(self, method: str, path: str, *, operator: bool = False, status: int = 200, **options: Any) -> Any:
        """Send a request under ``/api``, hold its status, return its JSON (or text)."""
        headers = {"X-API-Key": self.demo.secret} if operator else {}
        options.setdefault("timeout", 30)
        response = self.session.request(method, f"{self.demo.service.url}/api{path}", headers=headers, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return response.json() if "json" in response.headers.get("Content-Type", "") else response.text

    def get(self, path: str, **options: Any) -> Any:
        """GET a path under ``/api``."""
        return self.call("GET", path, **options)

    def members(self) -> dict[str, Any]:
        """Return what the operators see of the processes."""
        answer: dict[str, Any] = self.get("/c2c/members", operator=True)
        return answer

    def pids(self) -> list[int]:
        """Return the process ids of the members that answer."""
        return sorted(member["pid"] for member in self.members()["members"])


def wait_for(what: Callable[[], bool], *, timeout: float = 90.0, interval: float = 0.1) -> None:
    """Wait until something is so: on a busy machine a worker alone takes ten seconds to start."""
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(interval)
