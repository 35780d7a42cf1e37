"""The service over HTTP: routing to the databases, JSON errors, metrics, health, outgoing requests."""

import json
import uuid
from collections.abc import Callable

import requests

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo, Service


def test_ping(client: Client) -> None:
    """The service answers."""
    assert client.get("/ping") == {"pong": True}


def test_reads_go_to_the_replica_writes_to_the_primary(client: Client, demo: Demo) -> None:
    """While replay is paused, other users read what the replica has, and the primary has what was written."""
    old, new = f"old {uuid.uuid4()}", f"new {uuid.uuid4()}"
    assert client.call("PUT", "/hello", json={"value": old}) == {"value": old, "server": "primary"}
    demo.databases.wait_caught_up()
    with demo.databases.replay_paused():
        assert client.call("PUT", "/hello", json={"value": new})["server"] == "primary"
        assert Client(demo).get("/hello") == {"value": old, "server": "replica"}
    demo.databases.wait_caught_up()
    assert Client(demo).get("/hello") == {"value": new, "server": "replica"}


def test_post_adds_a_row_on_the_primary(client: Client, demo: Demo) -> None:
    """POST writes; the same value again is the database's refusal as 400 in JSON."""
    value = f"added {uuid.uuid4()}"
    answer = client.call("POST", "/hello", json={"value": value}, status=201)
    assert answer == {"value": value, "server": "primary"}
    demo.databases.wait_caught_up()
    assert Client(demo).get("/hello")["value"] == value
    assert client.call("POST", "/hello", json={"value": value}, status=400)["status"] == 400


def test_bad_input_is_a_json_400(client: Client) -> None:
    """Bodies that can't be used say what they should be."""
    for body in ("", "not json", "[]", '{"value": 3}', '{"other": "x"}'):
        answer = client.call("PUT", "/hello", data=body, status=400)
        assert answer["status"] == 400
        assert "value" in answer["message"]


def test_errors_are_json(client: Client) -> None:
    """A raised HTTP error, an unexpected exception and an unknown path are all JSON; details stay inside."""
    assert client.get("/error?status=418", status=418) == {"message": "You asked for 418", "status": 418}
    unexpected = client.get("/error", status=500)
    assert unexpected["status"] == 500
    assert "stacktrace" not in unexpected
    assert "stacktrace" in client.get("/error", operator=True, status=500)
    assert client.get("/nowhere", status=404)["status"] == 404


def test_health_checks_of_both_engines(client: Client) -> None:
    """The health report names one check an engine, and fails with JSON when the replica is away."""
    report = client.get("/c2c/health_check")
    assert {"db_engine_sqlalchemy", "db_engine_sqlalchemy_slave"} <= set(report["successes"])


def test_a_dead_replica_is_red_at_level_2(client: Client, demo: Demo) -> None:
    """The check of the replica's engine fails, the primary's does not; both are green when it is back."""
    demo.databases.kill_replica()
    report = client.get("/c2c/health_check?max_level=2", status=500)
    assert "db_engine_sqlalchemy_slave" in report["failures"]
    assert "db_engine_sqlalchemy" in report["successes"]
    assert "pg-p4ssword" not in json.dumps(report)
    demo.databases.start_replica()
    wait_for(
        lambda: requests.get(f"{demo.service.url}/api/c2c/health_check?max_level=2", timeout=30).status_code == 200,
    )


def test_metrics_know_the_requests(client: Client, demo: Demo) -> None:
    """The Prometheus page counts requests by route, and the page is below the application's prefix."""
    client.get("/hello")
    # A request is counted when its last byte is sent, which may be after we have it.
    wait_for(lambda: 'route="hello"' in client.get("/metrics"))
    assert requests.get(f"{demo.service.url}/metrics", timeout=30).status_code == 404


def test_timers_in_the_json_view(client: Client) -> None:
    """The application's own timer and the automatic one of its route are in stats.json."""
    client.get("/hello")

    def timed() -> bool:
        timers = client.get("/c2c/stats.json?scope=all")["timers"]
        own = any(key.startswith("acceptance/hello") for key in timers)
        return own and any(key.startswith("route/") and "hello" in key for key in timers)

    wait_for(timed)


def test_logs_are_json_lines(client: Client, demo: Demo) -> None:
    """What the application logs is one strict JSON object a line, with the request in it."""
    client.get("/error", status=500)

    def found() -> bool:
        for line in demo.service.log_text().splitlines():
            if line.startswith("{"):
                record = json.loads(line)
                if record.get("path") == "/api/error" and "full_message" in record:
                    assert record["level_name"] == "ERROR"
                    assert "Something nobody expected" in record["full_message"]
                    return True
        return False

    wait_for(found)


def test_a_request_that_asks_the_service_itself(client: Client) -> None:
    """Nested requests answer, and all of them have the first one's id."""
    response = client.session.get(
        f"{client.demo.service.url}/api/outgoing/2", headers={"X-Request-ID": "42 is the answer"}, timeout=30
    )
    answer = response.json()
    assert answer["request_id"] == "42 is the answer"
    assert answer["next"]["next"]["request_id"] == "42 is the answer"
    client.get("/outgoing/9", status=400)


def test_an_id_follows_a_request_to_another_service(new_demo: Callable[..., Demo]) -> None:
    """What two services log of one request, each in its own log, has the id that the client gave to the first."""
    asked = new_demo(workers=1)
    first = new_demo({"OUTGOING_URL": asked.service.url}, workers=1)
    request_id = f"42 is the answer {uuid.uuid4()}"
    answer = Client(first).session.get(
        f"{first.service.url}/api/outgoing/1", headers={"X-Request-ID": request_id}, timeout=30
    )
    assert answer.headers["X-Request-ID"] == request_id
    assert answer.json() == {"request_id": request_id, "next": {"request_id": request_id}}

    def logged(service: Service) -> list[str]:
        """Return the paths that a service logged under this id."""
        records = [json.loads(line) for line in service.log_text().splitlines() if line.startswith("{")]
        return [
            record["path"]
            for record in records
            if record.get("request_id") == request_id and record["logger_name"] == "acceptance_app.views"
        ]

    wait_for(lambda: logged(first.service) == ["/api/outgoing/1"])
    wait_for(lambda: logged(asked.service) == ["/api/outgoing/0"])


def test_the_index_page(client: Client, demo: Demo) -> None:
    """Anybody sees the public part; a log-in by form shows the operators'; the secret is in no URL."""
    page = client.get("/c2c")
    assert "Members" not in page
    assert client.get("/c2c/") == page
    answer = client.session.post(f"{demo.service.url}/api/c2c", data={"secret": demo.secret}, timeout=30)
    assert answer.history[0].status_code == 303
    assert demo.secret not in answer.url + answer.text
    assert "Members" in answer.text
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    client.session.post(f"{demo.service.url}/api/c2c", data={"secret": ""}, timeout=30)
    assert "Members" not in client.get("/c2c")
    client.call("POST", "/c2c", data={"secret": "wrong"}, status=403)
