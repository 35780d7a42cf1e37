"""The service of 2020 with a slave of its own, statsd without tags and a Redis 5, started by ``c2cwsgiutils_run``."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests

from c2c_testing.servers import Postgres
from c2cwsgiutils.acceptance.connection import Connection
from c2cwsgiutils.acceptance.utils import retry_timeout

WRITING, READING = "two_writing", "two_reading"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def urls(postgres: Postgres) -> Iterator[Mapping[str, str]]:
    """Give the URLs of two databases that know nothing of each other."""
    yield {name: postgres.create_database(name) for name in (WRITING, READING)}
    for name in (WRITING, READING):
        postgres.drop_database(name)


@pytest.fixture(scope="module")
def deployment(
    deploy: Callable[..., AbstractContextManager[Any]], postgres: Postgres, urls: Mapping[str, str], five: Any
) -> Iterator[Any]:
    """Give the service; the first parcel is Berta's where GETs read, and Anna's where all else does."""
    both = {"SQLALCHEMY_URL": urls[WRITING], "SQLALCHEMY_URL_SLAVE": urls[READING], "MIGRATED_TOO": urls[READING]}
    with deploy("two", five.url, **both) as running:
        postgres.execute("UPDATE parcels.parcel SET owner = 'Berta'", database=READING)
        # Until each worker knows that the slave is there: a connection of its own each time finds them all.
        url = running.connection.url("parcels")
        retry_timeout(lambda: all(requests.get(url, timeout=30).json()[0]["owner"] == "Berta" for _ in range(20)))
        yield running


def test_each_reads_its_own(deployment: Any) -> None:
    """GET and what is forced there read the slave, PUT the master, whether or not a transaction may write."""
    assert deployment.connection.get_json("parcels") == [{"id": 1, "owner": "Berta"}]
    assert deployment.connection.put_json("parcels")[0] == {"id": 1, "owner": "Anna"}
    assert deployment.connection.post_json("echo", json="x") == {"same": "x", "owner": "Berta", "read_only": "off"}


def test_a_get_that_writes(deployment: Any, postgres: Postgres) -> None:
    """It writes on the slave's engine; the same again is a 400 with what the slave's server says."""
    assert deployment.connection.get_json("faults?id=7") == {}
    again = deployment.connection.get_json("faults?id=7", expected_status=400)
    assert (set(again), again["status"]) == ({"message", "status"}, 400)
    assert "parcel_pkey" in again["message"]
    count = "SELECT count(*) FROM parcels.parcel WHERE id = 7"
    assert [postgres.execute(count, database=name)[0][0] for name in (WRITING, READING)] == [0, 1]
    assert postgres.execute("DELETE FROM parcels.parcel WHERE id = 7 RETURNING id", database=READING) == [(7,)]


def test_a_window_after_a_write(deployment: Any, postgres: Postgres) -> None:
    """Who has written reads from the master for a while, and others do not; then all read the slave again."""
    numbers = iter(range(100, 1000))
    with Connection(deployment.connection.base_url, "https://parcels.example") as writer:

        def found() -> bool:
            number = next(numbers)
            writer.post_json("parcels", json={"id": number, "owner": "Chloé"})
            read = writer.get_json("parcels")
            assert deployment.connection.get_json("parcels") == [{"id": 1, "owner": "Berta"}]
            return {"id": number, "owner": "Chloé"} in read

        # More than once: on a slow machine the window may be over.
        retry_timeout(found)
        retry_timeout(lambda: writer.get_json("parcels") == [{"id": 1, "owner": "Berta"}])
    postgres.execute("DELETE FROM parcels.parcel WHERE id >= 100", database=WRITING)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_errors(deployment: Any, status: int) -> None:
    """What a view raises is JSON with status and message, and pages of any origin may read it."""
    found = deployment.connection.get_json(f"faults?status={status}", expected_status=status)
    assert found == {"message": "as you wish", "status": status}


def test_errors_of_the_database(deployment: Any) -> None:
    """What it can't take is a 400 with its own words; what no view raises is a 500."""
    assert "invalid input syntax" in deployment.connection.get_json("faults?text=1", expected_status=400)["message"]
    assert deployment.connection.get_json("broken", expected_status=500)["status"] == 500


def test_pages_of_other_origins(deployment: Any) -> None:
    """A service with credentials is for the origin that asks, one without for any."""
    with_credentials = deployment.connection.get_raw("parcels").headers
    assert with_credentials["Access-Control-Allow-Origin"] == deployment.connection.origin
    assert with_credentials["Access-Control-Allow-Credentials"] == "true"
    without = deployment.connection.get_raw("parcels/1").headers
    assert without["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in without


def health(deployment: Any, level: int, status: int) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the levels of what is green, and what is red."""
    report = deployment.connection.get_json(f"tools/health_check?max_level={level}", expected_status=status, cors=False)
    assert set(report) == {"successes", "failures"}
    return {name: one["level"] for name, one in report["successes"].items()}, report["failures"]


def test_health(deployment: Any, five: Any) -> None:
    """The whole report at each level: 200 while all up to it is green, 500 else; failures have no status."""
    alembic = f"alembic_{str(deployment.folder).lstrip('/').replace('/', '_')}_alembic.ini_alembic"
    first = {"db_engine_sqlalchemy": 1, "db_engine_sqlalchemy_slave": 1, alembic: 1}
    assert health(deployment, 0, 200) == ({}, {})
    assert health(deployment, 1, 200) == (first, {})
    redis = five.url
    retry_timeout(lambda: health(deployment, 2, 200) == ({**first, redis: 2, "version": 2}, {}))
    green, red = health(deployment, 5, 500)
    assert {**first, redis: 2, "version": 2}.items() <= green.items()
    assert set(red) == {"grumpy"}
    grumpy = red["grumpy"]
    assert (grumpy["level"], grumpy["message"], grumpy["result"]) == (5, "I'm not happy", {"some": "json"})
    assert "status" not in grumpy


def test_a_slave_that_is_away(deployment: Any, postgres: Postgres) -> None:
    """It is red at the level of its check; the service serves on, and all is green when it is back."""
    postgres.execute(f"ALTER DATABASE {READING} ALLOW_CONNECTIONS false")
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [READING])
    try:
        failing = {"db_engine_sqlalchemy_slave"}
        retry_timeout(lambda: failing <= set(health(deployment, 1, 500)[1]))
        assert health(deployment, 0, 200) == ({}, {})
        retry_timeout(lambda: deployment.connection.get_json("parcels")[0]["owner"] == "Anna")
    finally:
        postgres.execute(f"ALTER DATABASE {READING} ALLOW_CONNECTIONS true")
    retry_timeout(lambda: not health(deployment, 1, 200)[1])
    retry_timeout(lambda: deployment.connection.get_json("parcels")[0]["owner"] == "Berta")


def test_paths_without_tags(deployment: Any, postgres: Postgres) -> None:
    """All that reaches statsd has what tags would say in its path: of requests, checks, daemons and commands."""
    deployment.connection.get("parcels")
    deployment.connection.get("faults?status=404", expected_status=404)
    deployment.connection.get("proxied", params={"other": deployment.connection.url("parcels")})
    deployment.connection.post_json("cache")
    health(deployment, 5, 500)
    options = ["--statsd_address", deployment.statsd.address, "--statsd_prefix", "parcels.db"]
    command = ["c2cwsgiutils_stats_db.py", "--db", postgres.url_of(WRITING), "--schema", "parcels", *options]
    done = deployment.run(*command, "--extra", "SELECT 'owners', count(DISTINCT owner) FROM parcels.parcel")
    assert done.returncode == 0, done.stderr
    port = deployment.composition.environment["API_PORT"]
    for name in (
        "parcels.list",
        "parcels.listed",
        "importer.run",
        "importer.import.failure",
        "route.GET.parcels.200",
        "route.GET.faults.404",
        "render.GET.parcels.200",
        f"requests.http.127_0_0_1.{port}.GET.200",
        "redis.PUBLISH.success",
        "health_check.db_engine_sqlalchemy.success",
        "health_check.db_engine_sqlalchemy_slave.success",
        "health_check.grumpy.failure",
        "sql.manual.health_check.db",
        "sql.manual.health_check.alembic",
        "db.count.parcels.parcel",
        "db.size.parcels.parcel",
        "db.index_size.parcels.parcel.parcel_pkey.main",
        "db.index_usage.parcels.parcel.parcel_pkey.scan",
        "db.owners",
    ):
        deployment.statsd.wait(lambda one, name=f"parcels.{name}": one.name == name)
    names = {one.name for one in deployment.statsd.metrics}
    assert any(name.startswith("parcels.sql.SELECT_FROM_parcels_parcel") for name in names), names
    assert any(name.startswith("parcels.alembic_version.") and name.endswith(".4a8c1bb4e775") for name in names)
    assert not [datagram for datagram in deployment.statsd.datagrams if b"#" in datagram]


def test_redis_5(deployment: Any, five: Any) -> None:
    """Broadcasts with answers, levels, stacks and the check of a Redis that knows nothing newer."""

    def everywhere() -> bool:
        answers = [one["hostname"] for one in deployment.connection.post_json("cache") if one]
        return sorted(answers) == ["importer-a", "importer-b", "parcels-web-1", "parcels-web-1"]

    retry_timeout(everywhere)
    deployment.operator("logging/level?name=parcels&level=DEBUG")
    retry_timeout(lambda: {one["level"] for one in deployment.connection.post_json("cache") if one} == {10})
    deployment.operator("logging/level?name=parcels&level=reset")
    hosts = {"parcels-web-1", "importer-a", "importer-b"}
    retry_timeout(
        lambda: {one["hostname"] for one in deployment.operator("debug/memory?limit=1", timeout=150)} == hosts
    )
    assert health(deployment, 2, 200)[0][five.url] == 2
    code = "from c2cwsgiutils import redis_utils; print(redis_utils.get()[0].ping())"
    done = deployment.run(BIN / "python", "-c", code)
    assert done.stdout.endswith("True\n"), done.stderr
    assert five.refused <= {"CLIENT SETINFO"}
