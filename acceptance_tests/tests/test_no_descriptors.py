"""The service where a process may open nothing more (its limit of descriptors is reached: something leaks)."""

from collections.abc import Callable

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo

# A request with this header is served by a process that can open nothing.
_HEADER = {"X-Without": "descriptors"}
_CONFIGURATION = """
import os
import resource

TAKEN = []

def post_fork(server, worker):
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def pre_request(worker, request):
    if ("X-WITHOUT", "descriptors") in request.headers:
        try:
            while True:
                TAKEN.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass

def post_request(worker, request, environ, response):
    while TAKEN:
        os.close(TAKEN.pop())
"""
_SHOWN = (
    "/c2c /c2c/overview /c2c/members /c2c/stats.json /c2c/stats.json?scope=all /c2c/debug/stacks /c2c/debug/memory "
    "/c2c/debug/running /c2c/logging/level /c2c/sql_profiler /c2c/db/maintenance"
)


def test_without_a_descriptor(hooked_demo: Callable[[str], Demo]) -> None:
    """Requests are served, operators look; what can't be asked or read is said, and nobody is lost by that."""
    client = Client(hooked_demo(_CONFIGURATION))
    wait_for(lambda: len(client.pids()) == 2)
    assert client.get("/ping", headers=_HEADER) == {"pong": True}
    for path in _SHOWN.split():
        # What has to import something answers that it can't.
        client.get(path, operator=True, headers=_HEADER, status=(200, 503))
        client.get(path, operator=True)
    for path in ("/c2c/members", "/c2c/overview", "/c2c/stats.json?scope=all", "/c2c/debug/running"):
        assert not client.get(path, operator=True, headers=_HEADER)["complete"], path
    client.members()  # of the process that this connection leads to: it now knows the other, and can name it
    (missing,) = client.get("/c2c/members", operator=True, headers=_HEADER)["missing"]
    assert missing["pid"] in client.demo.service.workers()
    changed = client.get("/c2c/logging/level?name=acceptance_app&level=DEBUG", operator=True, headers=_HEADER)
    assert (changed["level"], changed["complete"]) == ("DEBUG", False)
    assert "Too many open files" in client.get("/metrics", operator=True, headers=_HEADER, status=503)
    live = client.get("/c2c/health/live", headers=_HEADER, status=500)
    assert "Too many open files" in live["failures"]["descriptors"]["message"]
    members = client.members()
    assert members["complete"]
    assert sorted(one["pid"] for one in members["members"]) == sorted(client.demo.service.workers())
    assert '"level_name":"ERROR"' not in client.demo.service.log_text()
