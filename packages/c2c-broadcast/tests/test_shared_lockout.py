"""Wrong secrets, counted in all workers at once."""

import os
import signal
from pathlib import Path

import pytest
import requests

_HERE = Path(__file__).parent
_SECRET = "a-secret-for-operators"


def status(server, secret):
    """Ask an operator view on a connection of its own, so that any worker may answer."""
    headers = {"X-API-Key": secret, "Connection": "close"}
    return requests.get(f"{server.url}/c2c/mine", headers=headers, timeout=60).status_code


def wrong(server):
    """Return how many wrong secrets each of the three workers has counted."""
    found = requests.get(f"{server.url}/ask?timeout=5", headers={"Connection": "close"}, timeout=60).json()
    return [answer["wrong"] for answer in found["answers"]] if found["complete"] else None


@pytest.mark.parametrize("with_redis", [True, False])
def test_failures_count_in_every_worker(redis_server, gunicorn, prefix, eventually, with_redis):
    """Whichever worker took the wrong secrets, all count them; a right one is heard by all too; a lock is one line.

    Of another application with another secret, in the same processes, nothing is counted or forgotten. A worker that is
    born later asks for what was before it, and locks the address at once.
    """
    redis = {"C2C_REDIS_URL": redis_server.url, "C2C_BROADCAST_PREFIX": prefix} if with_redis else {}
    server = gunicorn("broadcast_app:app", workers=3, cwd=_HERE, ready="/hello", env={**redis, "C2C_SECRET": _SECRET})
    eventually(lambda: wrong(server) == [[]] * 3, 60)
    assert [status(server, "a guess") for _ in range(3)] == [403] * 3
    eventually(lambda: wrong(server) == [[3]] * 3, 60)
    assert status(server, _SECRET) == 200
    eventually(lambda: wrong(server) == [[]] * 3, 60)
    for number in range(1, 6):
        assert status(server, "a guess") == 403
        eventually(lambda number=number: wrong(server) == [[number]] * 3, 60)
    assert server.log_text().count("wrong secrets from 127.0.0.1: locked") == 1
    before = pids(server)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: len(pids(server) - {pid}) == 3, 60)
        # A guess makes a new one ask; it counts, or is refused, in whichever worker takes it.
        eventually(lambda: all(found and found[0] >= 5 for found in told(server)), 60)
    assert not before & pids(server)


def pids(server):
    """Return the process ids of the workers that answer."""
    found = requests.get(f"{server.url}/ask?timeout=5", headers={"Connection": "close"}, timeout=60).json()
    return {answer["pid"] for answer in found["answers"]}


def told(server):
    """Have somebody ask an operator view, and return what the workers have counted, one of none where one is away."""
    status(server, "a guess")
    return wrong(server) or [[]]
