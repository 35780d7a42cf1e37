"""A user of the demo, for its tests: the tools of c2c-testing, as any service's acceptance tests use them."""

from collections.abc import Callable
from typing import Any

from acceptance_tests import demo as start
from c2c_testing import Connection
from c2c_testing.utils import retry_timeout

ORIGIN = "https://www.example.com"
# Pages of the toolkit, for people and machines that are no page of another origin: they allow none.
_WITHOUT_CORS = ("/c2c", "/metrics")


class Client:
    """One user of the service: a session with cookies, and the operators' header where it is asked for."""

    def __init__(self, demo: start.Demo) -> None:
        self.demo = demo
        self.connection = Connection(f"{demo.service.url}/api/", ORIGIN)
        self.session = self.connection.session

    def call(
        self, method: str, path: str, *, operator: bool = False, status: int | tuple[int, ...] = 200, **options: Any
    ) -> Any:
        """Send a request under ``/api``, hold its status, caching and CORS, return its JSON (or text)."""
        options.setdefault("timeout", 30)
        options.setdefault("cors", not path.startswith(_WITHOUT_CORS))
        options["headers"] = {**({"X-API-Key": self.demo.secret} if operator else {}), **options.get("headers", {})}
        response = self.connection.request(method, path, expected_status=status, **options)
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

    def all_read_the_replica(self) -> bool:
        """Tell whether every process uses its replica; each looks at it when it reads, so this reads in one of them."""
        self.get("/hello")
        name = "db_replica_sqlalchemy_slave"
        report = self.get(f"/c2c/health_check?scope=all&checks={name}", operator=True, status=(200, 500))
        return bool(report["complete"] and all(name in member["successes"] for member in report["members"]))


def wait_for(what: Callable[[], bool], *, timeout: float = 90.0, interval: float = 0.1) -> None:
    """Wait until something is so: on a busy machine a worker alone takes ten seconds to start.

    What raises is not so yet.
    """
    retry_timeout(what, timeout, interval)
