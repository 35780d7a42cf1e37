"""What the packages do together, in several processes at once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo
from c2c_testing.servers import stopped
from c2c_testing.utils import retry_timeout


def test_a_client_reads_its_own_writes(client: Client, demo: Demo) -> None:
    """While replay is paused, who wrote reads it (from the primary), and nobody else leaves the replica."""
    other = Client(demo)
    wait_for(lambda: bool(other.get("/hello")["server"] == "replica"))
    with demo.databases.replay_paused():
        value = f"mine {os.urandom(8).hex()}"
        client.call("PUT", "/hello", json={"value": value})
        for _ in range(20):
            assert client.get("/hello") == {"value": value, "server": "primary"}
            answer = other.get("/hello")
            assert answer["server"] == "replica"
            assert answer["value"] != value
    demo.databases.wait_caught_up()
    wait_for(lambda: bool(client.get("/hello") == {"value": value, "server": "replica"}))


def test_the_replica_is_a_health_check(client: Client, demo: Demo) -> None:
    """Its state and lag are in the report; away it fails, at level 2, and reads go on without it."""

    def check() -> Any:
        url = f"{demo.service.url}/api/c2c/health_check?checks=db_replica_sqlalchemy_slave"
        report = requests.get(url, timeout=30).json()
        return {**report["successes"], **report["failures"]}["db_replica_sqlalchemy_slave"]

    wait_for(lambda: bool(check()["result"]["state"] == "usable"))
    assert check()["level"] == 2
    demo.databases.kill_replica()
    wait_for(lambda: bool(check()["result"]["state"] == "offline"))
    for _ in range(20):
        assert client.get("/hello")["server"] == "primary"
    demo.databases.start_replica()
    wait_for(lambda: bool(client.get("/hello")["server"] == "replica"))


def test_maintenance_in_every_process(client: Client) -> None:
    """Read-only is on in all workers at once, a write is a 503 that says when to come back, and it can be ended."""
    answer = client.call("GET", "/c2c/db/maintenance?readonly=true&ttl=120&reason=test", operator=True)
    assert answer == {"status": 200, "readonly": True}
    try:
        for _ in range(30):
            response = client.session.put(
                f"{client.demo.service.url}/api/hello", json={"value": "x"}, headers={"Connection": "close"}, timeout=30
            )
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert client.get("/hello")["value"]
    finally:
        client.call("GET", "/c2c/db/maintenance?readonly=false", operator=True)
    client.call("PUT", "/hello", json={"value": f"after {os.urandom(8).hex()}"})


def test_a_log_level_in_every_process(client: Client) -> None:
    """A level is set in all workers, ends with its ttl, and an unknown one changes nothing."""
    path = "/c2c/logging/level?name=acceptance_app"

    def levels() -> set[str]:
        return {
            requests.get(
                f"{client.demo.service.url}/api{path}",
                headers={"X-API-Key": client.demo.secret, "Connection": "close"},
                timeout=30,
            ).json()["level"]
            for _ in range(20)
        }

    before = levels()
    assert client.get(f"{path}&level=DEBUG&ttl=600", operator=True)["level"] == "DEBUG"
    assert levels() == {"DEBUG"}
    client.get(f"{path}&level=DEBUG&ttl=5", operator=True)
    assert "acceptance_app" in client.get("/c2c/logging/level", operator=True)["overrides"]
    assert "DEBUG" in client.get(f"{path}&level=LOUD", operator=True, status=400)["message"]
    wait_for(lambda: levels() == before)


def test_the_stacks_of_every_process(client: Client, demo: Demo) -> None:
    """Each worker's threads are there; a stopped worker is named."""

    def processes(answer: Any) -> set[int]:
        return {int(pid) for pid in demo.service.workers() if f"/{pid}/" in json.dumps(answer)}

    assert processes(client.get("/c2c/debug/stacks", operator=True)) == set(demo.service.workers())
    client.get("/c2c/debug/stacks", status=403)
    silent = demo.service.workers()[0]
    with stopped(silent):
        # The kernel may give a connection to the stopped worker: that one is not answered.
        answer = retry_timeout(lambda: Client(demo).get("/c2c/debug/stacks", operator=True, timeout=20), 200)
        assert str(silent) in json.dumps(answer)
    wait_for(lambda: client.pids() == demo.service.workers())


def test_one_error_report_an_exception(new_demo: Callable[..., Demo], sentry_sink: Any) -> None:
    """The JSON error view answers and logs, and Sentry gets one event, with the request's id and no secret."""
    demo = new_demo(workers=1, environ={"SENTRY_URL": sentry_sink.dsn})
    client = Client(demo)
    url = f"{demo.service.url}/api/error?secret=canary-canary"
    headers = {"X-Request-ID": "id-of-the-failure"}
    assert client.session.get(url, headers=headers, timeout=30).status_code == 500
    wait_for(lambda: len(sentry_sink.events) >= 1)
    client.get("/ping")
    demo.service.stop()
    texts = [json.dumps(event) for event in sentry_sink.events]
    failures = [text for text in texts if "Something nobody expected" in text]
    assert len(failures) == 1
    assert "id-of-the-failure" in failures[0]
    assert "canary-canary" not in "".join(texts)


def test_debug_and_probe_views_are_for_operators(client: Client) -> None:
    """Without the secret each of the operators' views is a 403, never cached."""
    for path in ("members", "debug/stacks", "debug/memory", "logging/level", "sql_profiler", "db/maintenance"):
        response = requests.get(f"{client.demo.service.url}/api/c2c/{path}", timeout=30)
        assert response.status_code == 403, path
        assert "no-cache" in response.headers["Cache-Control"]
        assert "Access-Control-Allow-Origin" not in response.headers


def test_the_sql_report_names_the_application_s_line(client: Client) -> None:
    """Not a line of the packages between the application and its database, wherever these are installed."""
    client.get("/c2c/sql_profiler?enable=1&ttl=120", operator=True)
    try:

        def lines() -> list[str]:
            client.get("/hello")
            report = client.get("/c2c/sql_profiler?report=1", operator=True)
            return [one["line"] for one in report["statements"] if "FROM hello" in one["statement"]]

        wait_for(lambda: bool(lines()))
        assert all("/acceptance_app/views.py:" in line for line in lines())
    finally:
        client.get("/c2c/sql_profiler?enable=0", operator=True)


def test_the_graph_of_models() -> None:
    """The application's own script prints the graph of its classes."""
    script = Path(__file__).parent.parent / "app/models_graph.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("digraph"), done.stderr
    assert '"Hello"' in done.stdout
