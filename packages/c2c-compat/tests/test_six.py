"""A service in the style of c2cwsgiutils 6, run for real: gunicorn with its conf file, two databases, no Redis."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from c2c_testing import LocalComposition
from c2cwsgiutils.acceptance.connection import CacheExpected, Connection
from c2cwsgiutils.acceptance.utils import retry_timeout

SECRET = "a-secret-of-the-tests"
ORIGIN = "http://example.com/"


@pytest.fixture(scope="module", params=["", "--preload"], ids=["own", "preload"])
def rivers(request: pytest.FixtureRequest, start_rivers: Any) -> Iterator[LocalComposition]:
    """Start the service, with JSON logs."""
    more = {"LOG_TYPE": "json", "GUNICORN_CMD_ARGS": request.param, "C2C_REDIS_DB": "", "C2C_PROFILER_PATH": ""}
    with start_rivers("rivers", "composition.toml", **more) as composition:
        yield composition


@pytest.fixture
def connection(rivers: LocalComposition) -> Iterator[Connection]:
    """Give a client of it."""
    with Connection(f"http://127.0.0.1:{rivers.environment['API_PORT']}/api/", ORIGIN) as client:
        yield client


def test_sides(connection: Connection) -> None:
    """A slave that is no replica is read by GET, and by what is forced there; PUT reads the master."""
    assert connection.get_json("rivers") == {"side": "slave"}
    assert connection.put_json("rivers") == {"side": "master"}
    retry_timeout(lambda: connection.post_json("rivers") == {"side": "slave"})


def test_a_get_that_writes(connection: Connection) -> None:
    """A GET that writes does what it did: the server says what is wrong with it."""
    answer = connection.get_json("duplicate", expected_status=400)
    assert "duplicate key" in answer["message"]


def test_pre_flight(connection: Connection) -> None:
    """An origin that the call gives is the one that is checked."""
    answer = connection.options(
        "rivers",
        headers={
            "Origin": "http://other.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-Own",
        },
        cache_expected=CacheExpected.YES,
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "http://other.example"
    assert answer.headers["Vary"] == "Origin"


def test_raised_redirections_are_not_cached(connection: Connection) -> None:
    """A raised 301 keeps Location, a 204 has no type; both are open to pages, and not cached."""
    moved = connection.get_raw("moved", expected_status=301, allow_redirects=False)
    assert moved.headers["Location"] == "http://www.camptocamp.com/"
    nothing = connection.get_raw("nothing", expected_status=204)
    assert not {"Content-Type", "Content-Length"} & set(nothing.headers)


def test_health(connection: Connection) -> None:
    """Both engines are checked at the level of the check."""
    report = connection.get_json("c2c/health_check?max_level=1", cors=False)
    engines = {name: one["level"] for name, one in report["successes"].items() if name.startswith("db_engine")}
    assert engines == {"db_engine_sqlalchemy": 1, "db_engine_sqlalchemy_slave": 1}


def test_proxy_headers(connection: Connection) -> None:
    """The filter of the pipeline, by its name of the time, is ours."""
    headers = {"Forwarded": "for=1.1.1.1;host=example.com;proto=https;proto-version=h2", "X-API-Key": SECRET}
    found = connection.get_json("c2c/debug/headers", headers=headers, cors=False)["client_info"]
    assert (found["client_addr"], found["host"], found["scheme"]) == ("1.1.1.1", "example.com", "https")


def test_json_is_compact(connection: Connection) -> None:
    """Answers have no space: the era is found out by what the conf file asks, in the master."""
    assert connection.put("rivers") == '{"side":"master"}'
    assert connection.get_json("kind", cors=False, cache_expected=CacheExpected.DONT_CARE) == "SECRET"


def test_broadcast(connection: Connection) -> None:
    """What was decorated before the include answers from both workers, once both have served a request."""

    def both() -> bool:
        found = connection.get_json(
            "length", headers={"Connection": "close"}, cors=False, cache_expected=CacheExpected.DONT_CARE
        )
        return bool(found.count(42) == 2)

    retry_timeout(both)


def test_log(rivers: LocalComposition, connection: Connection) -> None:
    """Lines of the handler with kwargs are on stdout, as JSON, and one of them names the era."""
    connection.get("rivers", headers={"X-Request-ID": "42 is the answer"})

    def listed() -> bool:
        lines = [line for line in rivers.logs("api") if "{" in line]
        records = [json.loads(line[line.index("{") :]) for line in lines]
        assert any("does as c2cwsgiutils 6 did" in one["msg"] for one in records)
        mine = [one for one in records if one.get("request_id") == "42 is the answer"]
        return any((one["logger_name"], one["msg"]) == ("rivers", "Rivers are listed") for one in mine)

    retry_timeout(listed)


def test_metrics_on_their_port(rivers: LocalComposition) -> None:
    """The master serves what all its workers recorded on C2C_PROMETHEUS_PORT, under the names of 6; no other door."""
    api, port = (rivers.environment[name] for name in ("RIVERS_BIND", "METRICS_PORT"))
    assert requests.get(f"http://{api}/api/rivers", timeout=30).status_code < 500
    assert requests.get(f"http://{api}/api/metrics", timeout=30).status_code == 404
    assert requests.get(f"http://{api}/metrics", timeout=30).status_code == 404
    answer = requests.get(f"http://127.0.0.1:{port}/anything", timeout=30)
    assert answer.status_code == 200
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    routes = found["c2cwsgiutils_pyramid_routes_seconds"]
    assert routes.type == "summary"
    assert {"route", "method", "status", "group"} == set(routes.samples[0].labels)
    assert "200" in {sample.labels["group"] for sample in routes.samples}
    assert {"what", "engine"} == set(found["c2cwsgiutils_database_seconds"].samples[0].labels)
    for name in ("process_resident_memory_bytes", "c2cwsgiutils_process_smap_pss_bytes", "c2cwsgiutils_version"):
        assert len({sample.labels["pid"] for sample in found[name].samples}) >= 2, name
    assert "pyramid" in found["c2cwsgiutils_version"].samples[0].labels
    assert "python_info" in found


_SCRIPT = """
import argparse, warnings
warnings.simplefilter("ignore")
import sqlalchemy as sa, transaction
from c2cwsgiutils.db import get_engine, get_session_factory, get_tm_session
from c2cwsgiutils.setup_process import bootstrap_application_from_options, fill_arguments
parser = argparse.ArgumentParser()
fill_arguments(parser, default_config_uri="c2c://production.ini")
environment = bootstrap_application_from_options(parser.parse_args())
factory = get_session_factory(get_engine(environment["registry"].settings))
with transaction.manager:
    print(get_tm_session(factory, transaction.manager).execute(sa.text("SELECT value FROM hello")).scalar())
environment["closer"]()
"""


def test_script(rivers: LocalComposition) -> None:
    """A script with arguments of the time loads the application, and has a session of its own."""
    folder = Path(rivers.environment["PYTHONPATH"])
    environment = {**rivers.environment, "LOG_TYPE": "console"}
    command = [sys.executable, "-c", _SCRIPT, "c2c://production.ini", "more=x=y"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "master"


def test_the_database_url_of_scripts(rivers: LocalComposition) -> None:
    """A one-liner that waits for the database, and knows nothing of us, reads postgresql:// by SQLAlchemy's driver."""
    code = f"import sqlalchemy; sqlalchemy.create_engine({rivers.environment['RIVERS_DB']!r}).connect()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
