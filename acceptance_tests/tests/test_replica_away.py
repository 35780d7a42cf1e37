"""A replica that is away, under load: the service stays ready, says that it is degraded, and loses no request."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo

_ENGINE = "db_engine_sqlalchemy_slave"
_REPLICA = "db_replica_sqlalchemy_slave"


@contextlib.contextmanager
def _load(demo: Demo, *paths: str) -> Iterator[Counter[Any]]:
    """Ask for these, or read and probe, without a pause meanwhile; give what was answered, counted."""
    answers: Counter[Any] = Counter()
    stop = threading.Event()

    def ask(path: str) -> None:
        while not stop.is_set():
            try:
                status: Any = requests.get(f"{demo.service.url}/api{path}", timeout=20).status_code
            except requests.RequestException as error:
                status = type(error).__name__
            answers[path, status] += 1

    paths = paths or ("/hello", "/hello", "/c2c/health/ready")
    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def _lagging(demo: Demo) -> Iterator[None]:
    with demo.databases.replay_paused():
        Client(demo).call("PUT", "/hello", json={"value": "the replica does not have it"})
        yield


@contextlib.contextmanager
def _promoted(demo: Demo) -> Iterator[None]:
    demo.databases.promote()
    yield


_AWAY: dict[str, Callable[[Demo], Any]] = {
    "killed": lambda demo: demo.databases.replica.down(),
    "stopped": lambda demo: demo.databases.replica.paused(),
    "lagging": _lagging,
    "promoted": _promoted,
}


def _report(demo: Demo, query: str = "") -> Any:
    return requests.get(f"{demo.service.url}/api/c2c/health_check{query}", timeout=30).json()


@pytest.fixture
def running(new_demo: Callable[..., Demo]) -> Iterator[Demo]:
    """Give a service that minds a lag of a second."""
    demo = new_demo(workers=2, environ={"C2C_DB_MAX_LAG": "1"})
    wait_for(Client(demo).all_read_the_replica)
    yield demo
    demo.databases.restore()


@pytest.mark.parametrize("how", _AWAY)
def test_a_replica_that_is_away(running: Demo, how: str) -> None:
    """Ready and level 1 are 200 and degraded, level 2 is red, and each request is answered."""
    with _load(running) as answers:
        with _AWAY[how](running):
            wait_for(lambda: bool(_report(running)["successes"][_REPLICA].get("outcome") == "degraded"))
            for _ in range(20):
                report = _report(running)
                assert report["failures"] == {}
                if how in ("killed", "stopped"):
                    wait_for(lambda: bool(_report(running)["successes"][_ENGINE].get("outcome") == "degraded"))
            # Each of the workers finds out by itself.
            wait_for(lambda: all(_REPLICA in _report(running, "?max_level=2")["failures"] for _ in range(10)))
        assert {status for _, status in answers} == {200}
    assert {status for _, status in answers} == {200}, answers


def test_its_death_is_no_error_report(new_demo: Callable[..., Demo], sentry_sink: Any) -> None:
    """Killed under reads: each is answered, Sentry hears nothing of it, and the log has no more than warnings."""
    demo = new_demo(workers=1, environ={"SENTRY_URL": sentry_sink.dsn})
    log = demo.service.folder / "log"
    wait_for(Client(demo).all_read_the_replica)
    before = len(log.read_text())
    with _load(demo, *("/hello",) * 4) as answers:
        wait_for(lambda: answers["/hello", 200] > 20)
        with demo.databases.replica.down():
            wait_for(lambda: "usable -> offline" in log.read_text()[before:])
            seen = answers["/hello", 200]
            wait_for(lambda: answers["/hello", 200] > seen + 20)
        wait_for(lambda: "offline -> usable" in log.read_text()[before:])
    assert set(answers) == {("/hello", 200)}
    said = log.read_text()[before:]
    assert not [line for line in said.splitlines() if "ERROR" in line or "CRITICAL" in line or "Traceback" in line]
    requests.get(f"{demo.service.url}/api/error", timeout=30)  # that one is reported, after whatever came before
    wait_for(lambda: len(sentry_sink.events) >= 1)
    demo.service.stop()
    assert {"Something nobody expected" in str(event) for event in sentry_sink.events} == {True}


def test_a_replica_that_is_needed(new_demo: Callable[..., Demo]) -> None:
    """Where reads do not go to the primary instead, the service is not ready without it."""
    demo = new_demo(workers=1, environ={"C2C_DB_REPLICA_FAILOVER": "error"})
    wait_for(Client(demo).all_read_the_replica)
    with demo.databases.replica.down():
        wait_for(lambda: _REPLICA in _report(demo)["failures"])
        assert _ENGINE in _report(demo)["failures"]
        assert requests.get(f"{demo.service.url}/api/c2c/health/ready", timeout=30).status_code == 500
    demo.databases.restore()
