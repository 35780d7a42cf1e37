"""Several real gunicorn workers: forks, faults, and maintenance mode in all of them."""

import http.client
import json
import threading
import time
import urllib.request
from pathlib import Path

import pytest

_SECRET = "a-secret-for-operators"


@pytest.fixture
def serve(gunicorn, urls):
    """Give a function that serves the application with several workers and threads."""

    def start(preload=False, workers=2, worker=("gthread", "--threads", "4"), driver=None, **more):
        settings = json.dumps(
            {**urls(driver), "c2c.secret": _SECRET, "c2c.db_maintenance_view_enabled": "true", **more}
        )
        return gunicorn(
            "served:application()",
            workers=workers,
            preload=preload,
            env={"SERVED_SETTINGS": settings, "SERVED_WARM": "1" if preload else None},
            args=["--worker-class", *worker],
            cwd=Path(__file__).parent,
        )

    return start


def _ask(server, path="/notes", method="GET", **headers):
    request = urllib.request.Request(server.url + path, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer), answer.headers


def _status(server, path="/notes", method="GET", **headers):
    try:
        _ask(server, path, method, **headers)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.mark.parametrize("preload", [False, True])
def test_written_by_one_worker_read_by_another(pair, serve, preload):
    """A token of one worker holds in the others; engines used before the fork work in each; nothing is stale."""
    server = serve(preload)
    pair.set_lag(0.3)
    readers = set()
    number = 0
    # Which worker accepts a connection is the kernel's choice: written and read until each had its turn.
    limit = time.monotonic() + 60
    while number < 25 or (len(readers) < 2 and time.monotonic() < limit):
        number += 1
        _, headers = _ask(server, method="POST")
        seen, _ = _ask(server, **{"X-C2C-DB-LSN": headers["X-C2C-DB-LSN"]})
        assert seen["count"] == number
        readers.add(seen["pid"])
    assert len(readers) == 2
    assert _ask(server)[0]["server"] == "replica"


def test_replica_killed_under_load(pair, serve, until):
    """SIGKILL of the replica under load from 8 clients on 2 workers: no failed request; its return is noticed."""
    server = serve()
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def read():
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        while not stop.is_set():
            connection.request("GET", "/notes")
            answer = connection.getresponse()
            body = answer.read()
            answers.append((answer.status, json.loads(body).get("server", body)))
        connection.close()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: answers.count((200, "replica")) > 100)
        pair.kill_replica()
        seen = len(answers)
        until(lambda: len(answers) > seen + 150)
        pair.start_replica()
        until(lambda: answers[-10:].count((200, "replica")) == 10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}


def test_gevent(pair, serve, until):
    """Under gevent's worker, too: marks hold, sixteen at once read, a dead replica is no error."""
    server = serve(worker=("gevent",), driver="psycopg")  # whose waiting gevent knows
    written = _ask(server, method="POST")[1]["X-C2C-DB-LSN"]
    assert _ask(server, **{"X-C2C-DB-LSN": written})[0]["count"] == 1
    until(lambda: _ask(server)[0]["server"] == "replica")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(_ask(server)[0]["server"])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert set(answers) <= {"replica", "primary"}  # which, is the machine's load to say
    pair.kill_replica()
    assert {_ask(server)[0]["server"] for _ in range(20)} == {"primary"}
    pair.start_replica()
    until(lambda: _ask(server)[0]["server"] == "replica")


def test_maintenance_in_every_process(serve, redis_server, until, gunicorn):
    """With Redis the mode holds in every worker and in one born later; it ends everywhere."""
    redis = {"c2c.redis_url": redis_server.url, "c2c.broadcast_prefix": f"db_{time.time()}_"}
    server = serve(**redis)
    until(lambda: len({_ask(server)[0]["pid"] for _ in range(30)}) == 2)
    key = {"X-API-Key": _SECRET}
    assert _ask(server, "/c2c/db/maintenance?readonly=true", **key)[0] == {"status": 200, "readonly": True}
    until(lambda: [_status(server, method="POST") for _ in range(8)] == [503] * 8)
    later = serve(workers=1, **redis)
    until(lambda: _status(later, method="POST") == 503)
    assert _ask(later, "/c2c/db/maintenance", **key)[0] == {"status": 200, "current_readonly": True}
    _ask(later, "/c2c/db/maintenance?readonly=false", **key)
    until(lambda: [_status(server, method="POST") for _ in range(8)] == [200] * 8)


@pytest.mark.parametrize("enabled", [True, False])
def test_nobody_can_say(pair, serve, enabled):
    """Redis away, and nobody else to ask: where the mode can be switched nothing is written; else it is no matter."""
    redis = {"c2c.redis_url": "redis://127.0.0.1:1/0", "c2c.broadcast_prefix": f"alone_{time.time()}_"}
    server = serve(**redis, **{"c2c.db_maintenance_view_enabled": str(enabled).lower()})
    assert _status(server, method="POST") == (503 if enabled else 200)
    assert _status(server) == 200
