"""The service as a composition: what c2c_testing.LocalComposition, Connection and a sink make of an acceptance test."""

import os
from pathlib import Path

import pytest

from c2c_testing import Connection, LocalComposition
from c2c_testing.servers import PostgresPair, Redis
from c2c_testing.sinks import StatsdSink
from c2c_testing.utils import retry_timeout, wait_url

FILE = Path(__file__).resolve().parent.parent / "composition.toml"
SECRET = "a-secret-of-the-composition"


@pytest.fixture
def composition(
    request: pytest.FixtureRequest, _servers: tuple[PostgresPair, Redis], statsd_sink: StatsdSink
) -> LocalComposition:
    """Give the service on an empty database of its own."""
    pair, redis = _servers
    name = f"composition_{os.urandom(4).hex()}"
    environment = {
        "SQLALCHEMY_URL": pair.primary.create_database(name),
        "SQLALCHEMY_URL_SLAVE": pair.replica.url_of(name),
        "C2C_REDIS_URL": redis.url,
        "C2C_BROADCAST_PREFIX": f"{name}_",
        "C2C_SECRET": SECRET,
        "STATSD_ADDRESS": statsd_sink.address,
    }
    pair.wait_caught_up()
    return LocalComposition(request, "acceptance", FILE, environment=environment)


def test_the_service_as_a_composition(composition: LocalComposition, statsd_sink: StatsdSink) -> None:
    """The schema is made before the service starts; it answers, tells statsd, takes commands, and restarts."""
    url = f"http://127.0.0.1:{composition.environment['API_PORT']}/api/"
    with Connection(url, origin="https://www.example.com") as connection:
        value = f"composed {os.urandom(4).hex()}"
        assert connection.post_json("hello", json={"value": value}, expected_status=201)["value"] == value
        retry_timeout(lambda: connection.get_json("hello")["value"] == value, 120)
        statsd_sink.wait(lambda metric: metric.name.startswith("route") and "hello" in str(metric))
        assert "/api/hello" in composition.exec("api", "proutes", "c2c://production.ini")
        composition.restart("api")
        wait_url(f"{url}ping", 300)
        assert connection.get_json("hello")["value"] == value
        headers = {"X-API-Key": SECRET}
        retry_timeout(lambda: len(connection.get_json("c2c/members", headers=headers, cors=False)["members"]) == 2, 120)
    assert any("Listening at" in line for line in composition.logs("api"))
