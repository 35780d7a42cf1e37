"""All processes at once: members, a stopped one, a killed one, recycling, preload, and Redis away."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo
from c2c_testing.servers import stopped
from c2c_testing.utils import retry_timeout


def test_all_workers_answer(client: Client, demo: Demo) -> None:
    """Each worker is a member, before it served any request of ours."""
    answer = client.members()
    assert sorted(member["pid"] for member in answer["members"]) == demo.service.workers()
    assert answer["missing"] == []
    assert answer["complete"]


def test_a_stopped_worker_is_named(client: Client, demo: Demo) -> None:
    """SIGSTOP of a worker: the others answer, it is named as missing, and takes part again when it goes on."""
    silent = demo.service.workers()[0]
    with stopped(silent):
        # The kernel may hand a connection to the stopped worker: that one is not answered.
        answer = retry_timeout(lambda: Client(demo).get("/c2c/members", operator=True, timeout=20), 200)
        assert [missing["pid"] for missing in answer["missing"]] == [silent]
        assert silent not in [member["pid"] for member in answer["members"]]
        assert answer["missing"][0]["last_seen"] > 0
        assert not answer["complete"]
    wait_for(lambda: client.pids() == demo.service.workers())


def test_a_killed_worker_is_replaced(client: Client, demo: Demo) -> None:
    """SIGKILL of a worker: gunicorn starts another one, which becomes a member; the dead one is no ghost."""
    killed = demo.service.workers()[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in demo.service.workers() and len(demo.service.workers()) == 3)
    wait_for(lambda: client.pids() == demo.service.workers())
    wait_for(lambda: client.members()["missing"] == [])
    assert client.get("/ping") == {"pong": True}


def test_redis_killed_and_back(client: Client, demo: Demo) -> None:
    """Without Redis all processes of this host still answer, and it is said that others could not be asked."""
    demo.redis.kill()
    wait_for(lambda: not client.members()["complete"])
    wait_for(lambda: client.pids() == demo.service.workers())
    assert not client.members()["complete"]
    assert client.get("/hello")["value"]
    demo.redis.start()
    wait_for(lambda: client.members()["complete"] and client.pids() == demo.service.workers())


@pytest.mark.parametrize("preload", [False, True], ids=["no-preload", "preload"])
def test_recycled_workers_take_part(new_demo: Callable[..., Demo], preload: bool) -> None:
    """Workers that end after some requests are replaced by members, and leave no ghost, with and without preload."""
    demo = new_demo(workers=2, arguments=["--max-requests", "50", *(["--preload"] if preload else [])])
    client = Client(demo)
    first = demo.service.workers()

    deadline = time.monotonic() + 120
    while set(first) & set(demo.service.workers()):
        assert client.get("/ping") == {"pong": True}  # no request is lost meanwhile
        assert time.monotonic() < deadline

    def settled() -> bool:
        answer = client.members()
        pids = sorted(member["pid"] for member in answer["members"])
        return pids == demo.service.workers() and answer["missing"] == []

    # Seldom, because each of these is a request too and brings the next end of a worker nearer.
    wait_for(settled, interval=3, timeout=240)


def test_a_service_without_redis(new_demo: Callable[..., Demo]) -> None:
    """An empty C2C_REDIS_URL is none: the service runs, and the processes of this host know each other."""
    demo = new_demo(workers=2, environ={"C2C_REDIS_URL": ""})
    client = Client(demo)
    wait_for(lambda: client.members()["complete"])
    assert sorted(member["pid"] for member in client.members()["members"]) == demo.service.workers()
    assert client.get("/hello")["value"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "127.0.0.1:1"])
def test_a_service_that_starts_while_redis_is_away(new_demo: Callable[..., Demo], url: str) -> None:
    """A Redis that never answers does not keep the service from starting and serving."""
    demo = new_demo(workers=2, environ={"C2C_REDIS_URL": url})
    client = Client(demo)
    assert not client.members()["complete"]
    assert client.get("/hello")["value"]
