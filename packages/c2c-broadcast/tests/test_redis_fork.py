"""Forks: gunicorn's workers, with and without preload, recycled and killed; and plain ``os.fork``."""

import json
import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def get(server, path):
    """Return the JSON at a path."""
    with urllib.request.urlopen(server.url + path, timeout=60) as response:
        return json.load(response)


def everybody(server, count, eventually):
    """Wait until an answer comes from all workers, and return it."""

    def asked():
        # A worker takes part from its first request on, so ask until each had one; one alone may be answered by the
        # same worker each time.
        with ThreadPoolExecutor(9) as several:
            *_, found = several.map(lambda _: get(server, "/ask?timeout=5"), range(9))
        pids = {answer["pid"] for answer in found["answers"]}
        return found if pids == set(server.pids()) and len(pids) == count and found["complete"] else None

    return eventually(asked, 60)


@pytest.fixture
def service(redis_server, gunicorn, prefix):
    """Give a function that starts the application in gunicorn."""

    def start(**options):
        environment = {"C2C_REDIS_URL": redis_server.url, "C2C_BROADCAST_PREFIX": prefix}
        return gunicorn("broadcast_app:app", cwd=_HERE, ready="/hello", env=environment, **options)

    return start


@pytest.mark.parametrize("preload", [False, True])
def test_workers(service, preload, redis_server, prefix, eventually):
    """Every worker answers, with a listener of its own; the master takes no part; a stop leaves no ghost."""
    server = service(workers=3, preload=preload)
    found = everybody(server, 3, eventually)
    for answer in found["answers"]:
        assert answer["threads"].count("c2c-broadcast-redis") == 1
        assert answer["parent"] == server.master
    get(server, "/change?value=agreed")
    eventually(lambda: [answer["value"] for answer in get(server, "/ask")["answers"]] == ["agreed"] * 3)
    server.stop()
    assert redis_server.execute("HKEYS", f"{prefix}members") == []


@pytest.mark.parametrize("preload", [False, True])
def test_recycled_workers(service, preload, redis_server, prefix, eventually):
    """Workers that gunicorn replaces all the time are members as long as they live, and know the shared state."""
    server = service(workers=3, preload=preload, args=["--max-requests", "15", "--max-requests-jitter", "5"])
    get(server, "/change?value=kept")
    first = set(server.pids())
    for _ in range(150):
        found = get(server, "/ask?timeout=10")
        # A new worker that has had no request yet is named, and said never to have been seen.
        assert [missing for missing in found["missing"] if missing["last_seen"]] == []
        assert found["failed"] == []
    assert not first & set(server.pids())
    eventually(lambda: set(values(get(server, "/ask"))) == {"kept"})
    assert len(redis_server.execute("HKEYS", f"{prefix}members")) <= 4


def values(found):
    """Return the values in the answers."""
    return [answer["value"] for answer in found["answers"]]


def test_killed_worker(service, eventually):
    """A worker killed at once is replaced by another member; nobody waits for the dead."""
    server = service(workers=3)
    everybody(server, 3, eventually)
    os.kill(server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(server.pids()) == 3)
    everybody(server, 3, eventually)


@pytest.mark.parametrize("use_before", [False, True])
def test_plain_fork(redis_server, team, new_member, use_before, eventually):
    """A forked child is a member of its own with the parent's subscriptions; the parent's connection lives on."""
    (other,) = team(redis_server, 1)
    member = new_member(redis_server)
    found = member("forked", channel="ping", use_before=use_before)
    expected = {other.pid, found["child"]} | ({member.pid} if use_before else set())
    assert {answer["pid"] for answer in found["answers"]} == expected
    assert found["before"] == ["MainThread"]
    after = found["after"]
    assert {answer["pid"] for answer in after["answers"]} == {other.pid, member.pid}
    assert after["complete"]
    assert "lost" not in member.log


def test_fork_while_busy(redis_server, team, new_broadcaster, eventually):
    """Forks in the middle of broadcasts of other threads leave children that work and a parent that goes on."""
    import threading

    team(redis_server, 2)
    mine = new_broadcaster(redis_server)
    mine.subscribe("ping", lambda: "mine")
    eventually(lambda: len(mine.ask("ping").answers) == 3)
    stop = threading.Event()
    wrong = []

    def ask():
        while not stop.is_set():
            answers = mine.ask("ping", timeout=30)
            # Children come and go, so there may be more.
            if len(answers.answers) < 3 or not answers.complete:
                wrong.append(answers)

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(8):
        child = os.fork()
        if child == 0:
            asked = [mine.ask("ping", timeout=20) for _ in range(3)]
            mine.close()
            os._exit(0 if len(asked[-1].answers) >= 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for caller in callers:
        caller.join()
    assert wrong == []
