"""The service where the system has no thread to give (a container's limit of processes, no memory for a stack)."""

from collections.abc import Callable

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo

# gunicorn's own sync workers need none. Nobody has so much memory for a stack.
_CONFIGURATION = """
import threading

def post_fork(server, worker):
    threading.stack_size(1 << 46)
"""
_SHOWN = (
    "/c2c /c2c/overview /c2c/members /c2c/health/live /c2c/stats.json /c2c/stats.json?scope=all /c2c/debug/stacks "
    "/c2c/debug/memory /c2c/debug/running /c2c/logging/level /c2c/sql_profiler /c2c/db/maintenance /metrics"
)


def test_without_a_thread(hooked_demo: Callable[[str], Demo]) -> None:
    """Requests are served, operators look and change; what could not be asked is named, in no answer is it fine."""
    threadless = hooked_demo(_CONFIGURATION)
    client = Client(threadless)
    for path in _SHOWN.split():
        client.get(path, operator=True)
    assert client.get("/ping") == {"pong": True}
    wait_for(lambda: client.get("/hello")["server"] is not None)
    client.call("PUT", "/hello", json={"value": "without a thread"})
    members = client.members()
    assert len(members["members"]) == 1
    assert not members["complete"]
    assert [one["pid"] for one in members["missing"]] == sorted(
        set(threadless.service.workers()) - {members["members"][0]["pid"]}
    )
    changed = client.get("/c2c/logging/level?name=acceptance_app&level=DEBUG", operator=True)
    assert (changed["level"], changed["complete"]) == ("DEBUG", False)
    failures = client.get("/c2c/health_check", status=500)["failures"]
    assert "no thread" in failures["db_engine_sqlalchemy"]["message"]
    log = threadless.service.log_text()
    assert log.count("until it has a thread to listen") == len(threadless.service.workers())
    assert '"level_name":"ERROR"' not in log
