"""What acceptance tests of a service of c2cwsgiutils 6 ask, a line a test: gunicorn by its conf file, two databases.

One worker, behind a Sentinel's Redis, every view for operators on; beside it a second service of two workers.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from c2c_testing import LocalComposition
from c2c_testing.servers import free_port
from c2cwsgiutils.acceptance.connection import CacheExpected, Connection
from c2cwsgiutils.acceptance.utils import retry_timeout

SECRET = "changeme"
KEY = {"X-API-Key": SECRET}
ORIGIN = "http://example.com/"
REVISION = "7c1f0e2d9a55"
ANY = CacheExpected.DONT_CARE


@pytest.fixture(scope="module")
def rivers(
    start_rivers: Any, tmp_path_factory: pytest.TempPathFactory, redis_sentinel: Any
) -> Iterator[LocalComposition]:
    """Start the services, on a Sentinel's Redis, with a time-out of the database's and every view for operators."""
    enabled = ("C2C_LOG_VIEW", "C2C_DB_MAINTENANCE_VIEW", "C2C_SQL_PROFILER")
    with start_rivers(
        "acceptance",
        "acceptance.toml",
        **{f"{name}_ENABLED": "TRUE" for name in enabled},
        LOG_TYPE="console",
        C2C_SECRET=SECRET,
        PGOPTIONS="-c statement_timeout=1500",
        C2C_SQL_REQUEST_ID="TRUE",
        C2C_REQUESTS_DEFAULT_TIMEOUT="2",
        C2C_REDIS_SENTINELS=",".join(f"{host}:{port}" for host, port in redis_sentinel.sentinels),
        C2C_REDIS_SERVICENAME=redis_sentinel.service_name,
        C2C_REDIS_TIMEOUT="10",
        C2C_PROFILER_PATH="/profiler",
        MULTIPROC=str(tmp_path_factory.mktemp("multiproc")),
        TZ="UTC",
    ) as composition:
        yield composition


@pytest.fixture
def connection(rivers: LocalComposition) -> Iterator[Connection]:
    """Give a client of the service with one worker."""
    with Connection(rivers.environment["RIVERS_URL"], ORIGIN) as client:
        yield client


def operator(connection: Connection, path: str, **more: Any) -> Any:
    """Ask an operator's view for JSON, by header."""
    return connection.get_json(f"c2c/{path}", cors=False, headers=KEY, **more)


# -- start -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("waiting")  # long enough until it is looked at
def test_both_start(rivers: LocalComposition) -> None:
    """Both services are up with the gunicorn.conf.py of the time, the environment with two names of one spelling."""
    for port in ("API_PORT", "SECOND_PORT"):
        url = f"http://127.0.0.1:{rivers.environment[port]}/api/c2c/health_check?max_level=0"
        assert requests.get(url, timeout=30).status_code == 200
    assert any("TEST and test" in line for line in rivers.logs("api"))
    assert not [line for line in rivers.logs("api") if "replaces" in line]


@pytest.mark.parametrize(("names", "there"), [((), {"Hello", "Gauge"}), (("Hello",), {"Hello"})])
def test_models_graph(rivers: LocalComposition, names: tuple[str, ...], there: set[str]) -> None:
    """The graph of all classes, and of one."""
    shown = rivers.run("api", sys.executable, "models_graph.py", *names)
    assert shown.startswith("digraph")
    assert {name for name in ("Hello", "Gauge") if name in shown} == there


def test_genversion_writes(rivers: LocalComposition) -> None:
    """The file holds tag and hash, and packages by the names of their distributions."""
    written = json.loads(Path(rivers.environment["C2C_VERSIONS_PATH"]).read_text())
    assert written["main"] == {"git_hash": "0123456789abcdef", "git_tag": "1.4"}
    assert {"SQLAlchemy", "pyramid"} <= set(written["packages"])


# -- broadcast -------------------------------------------------------------------------------------------------------


def test_broadcast(connection: Connection) -> None:
    """A function that was decorated before the include answers once, as there is one worker."""
    assert connection.get_json("length", cors=False, cache_expected=ANY) == [42]


# -- proxies ---------------------------------------------------------------------------------------------------------

SEEN = {
    "client_addr": "1.1.1.1",
    "host": "example.com",
    "host_port": "443",
    "http_version": "HTTP/1.1",
    "path": "/api/c2c/debug/headers",
    "path_info": "/api/c2c/debug/headers",
    "remote_addr": "1.1.1.1",
    "remote_host": None,
    "scheme": "https",
    "server_name": "127.0.0.1",
}


@pytest.mark.parametrize(
    "headers",
    [
        {
            "Forwarded": "for=1.1.1.1;host=example.com;proto=https;proto-version=h2",
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto-Version": "h2",
        },
        {"X-Forwarded-Host": "example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "1.1.1.1"},
    ],
    ids=["Forwarded", "X-Forwarded"],
)
def test_client_info(rivers: LocalComposition, connection: Connection, headers: dict[str, str]) -> None:
    """What a proxy says of the client is what the service takes it for, to the letter."""
    found = connection.get_json("c2c/debug/headers", headers={**headers, **KEY}, cors=False)["client_info"]
    assert found == {**SEEN, "server_port": int(rivers.environment["API_PORT"])}


# -- connection, CORS ------------------------------------------------------------------------------------------------


def test_a_patch_without_content(connection: Connection) -> None:
    """A PATCH that is answered by 204 gives None."""
    assert connection.patch_json("rivers", expected_status=204) is None


def test_pre_flight(connection: Connection) -> None:
    """An origin of its own is echoed; methods, headers, age and ``Vary`` are as they were."""
    answer = connection.options(
        "rivers",
        headers={
            "Origin": "http://example.com",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "X-PINGOTHER, Content-Type",
        },
        cache_expected=CacheExpected.YES,
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "http://example.com"
    assert set(answer.headers["Access-Control-Allow-Methods"].replace(" ", "").split(",")) >= {
        "GET",
        "HEAD",
        "PUT",
        "POST",
        "OPTIONS",
    }
    allowed = {one.strip().lower() for one in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed == {"x-pingother", "content-type"}
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    assert answer.headers["Vary"] == "Origin"


# -- database --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "side"), [("get", "slave"), ("put", "master"), ("post", "slave")])
def test_sides(connection: Connection, method: str, side: str) -> None:
    """GET reads the slave, PUT the master, and POST what it is forced to."""
    retry_timeout(lambda: getattr(connection, f"{method}_json")("rivers") == {"side": side})


def test_maintenance(connection: Connection) -> None:
    """In maintenance the state says so and PUT reads the slave; then it is as before."""
    try:
        assert operator(connection, "db/maintenance?readonly=true") == {"status": 200, "readonly": True}
        assert operator(connection, "db/maintenance")["current_readonly"] is True
        assert connection.put_json("rivers") == {"side": "slave"}
    finally:
        assert operator(connection, "db/maintenance?readonly=false") == {"status": 200, "readonly": False}
    assert operator(connection, "db/maintenance")["current_readonly"] is False
    assert connection.put_json("rivers") == {"side": "master"}


@pytest.mark.parametrize("query", ["secret=wrong&readonly=true", "readonly=true"])
@pytest.mark.parametrize("view", ["db/maintenance"])
def test_maintenance_is_closed(connection: Connection, view: str, query: str) -> None:
    """Without the secret, or with a wrong one, there is no maintenance."""
    connection.get_json(f"c2c/{view}?{query}", cors=False, expected_status=403)


# -- debug -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["parameter", "header"])
def test_stacks(connection: Connection, by: str) -> None:
    """Stacks are shown with the secret, and the one of who answers is in them, in the folder of its old name."""
    given: dict[str, Any] = {"params": {"secret": SECRET}} if by == "parameter" else {"headers": KEY}
    found = connection.get_json("c2c/debug/stacks", cors=False, **given)
    assert "c2cwsgiutils/debug" in json.dumps(found)


def test_stacks_are_closed(connection: Connection) -> None:
    """Without the secret there are none."""
    connection.get_json("c2c/debug/stacks", cors=False, expected_status=403)


def test_memory(connection: Connection) -> None:
    """There is one entry a process."""
    found = operator(connection, "debug/memory")
    assert len({one["pid"] for one in found}) == len(found) == 1


@pytest.mark.parametrize(("name", "key"), [("builtins.function", "modules"), ("rivers.NoSuchClass", "biggest_objects")])
def test_memory_of_a_type(connection: Connection, name: str, key: str) -> None:
    """Functions are counted by module, anything else has its biggest objects; nothing ran out of time."""
    (found,) = operator(connection, f"debug/memory?analyze_type={name}")
    assert key in found[name]
    assert "timeout" not in found[name]


def test_sleep(connection: Connection) -> None:
    """It sleeps for as long as asked, and says nothing."""
    began = time.perf_counter()
    connection.get("c2c/debug/sleep?time=0.1", headers=KEY, expected_status=204, cors=False)
    assert time.perf_counter() - began >= 0.1


def test_time(connection: Connection) -> None:
    """Anybody may see the time, and the zone."""
    assert connection.get_json("c2c/debug/time", cors=False)["timezone"] == "UTC"


def test_headers(connection: Connection) -> None:
    """A header that was sent is shown."""
    found = connection.get_json("c2c/debug/headers", headers={"X-Toto": "42", **KEY}, cors=False)
    assert found["headers"]["X-Toto"] == "42"


@pytest.mark.parametrize(
    "path", ["memory_diff?path=/api/ping%3Ftoto%3Dtutu", "memory_diff/api/ping?toto=tutu"], ids=["parameter", "URL"]
)
def test_memory_diff(connection: Connection, path: str) -> None:
    """What a request leaves behind is named in full, and grows by one."""
    found = operator(connection, f"debug/{path}")
    assert [one[2] for one in found if one[0] == "trouble.Leaf"] == [1], found


def test_an_error_of_choice(connection: Connection) -> None:
    """The error that was asked for comes as JSON."""
    assert operator(connection, "debug/error?status=500", expected_status=500)["status"] == 500


@pytest.mark.parametrize("code", [500, 400])
def test_a_raised_error(connection: Connection, code: int) -> None:
    """An error that the service raises comes as JSON."""
    assert connection.get_json(f"error?code={code}", expected_status=code)["status"] == code


def test_memory_maps(connection: Connection) -> None:
    """There are some."""
    assert operator(connection, "debug/memory_maps")


def test_show_refs(connection: Connection) -> None:
    """References are text of Graphviz."""
    name = "gunicorn.app.wsgiapp.WSGIApplication"
    found = connection.get(f"c2c/debug/show_refs.dot?analyze_type={name}", headers=KEY, cors=False)
    assert found is not None
    assert found.startswith("digraph")
    assert "WSGIApplication" in found


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("nowhere", 404, ""),
        ("error?code=403", 403, "raised on purpose"),
        ("error?db=twice", 400, "duplicate key"),
        ("error?db=text", 400, "invalid input syntax for type integer"),
        ("error", 500, "it rains"),
    ],
)
def test_errors(connection: Connection, path: str, status: int, text: str) -> None:
    """Errors are JSON that says what happened: unknown paths, raised ones, the database's, all others."""
    found = connection.get_json(path, expected_status=status, cors=path != "nowhere", headers=KEY if not text else {})
    assert found["status"] == status
    assert text in found["message"]


def test_unauthorized(connection: Connection) -> None:
    """A raised 401 keeps how one logs in."""
    answer = connection.get_raw("error?code=401", expected_status=401)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="rivers"'


def test_moved(connection: Connection) -> None:
    """A raised 301 keeps where it leads, and is not cached."""
    answer = connection.get_raw("error?code=301", expected_status=301, allow_redirects=False)
    assert answer.headers["Location"] == "http://www.camptocamp.com/"


def test_nothing(connection: Connection) -> None:
    """A raised 204 has no type and no length, is open to pages, and not cached."""
    answer = connection.get_raw("error?code=204", expected_status=204)
    assert not {"Content-Type", "Content-Length"} & set(answer.headers)


# -- health ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def level_1(rivers: LocalComposition) -> dict[str, Any]:
    """Give the checks of level 1, without their timing."""
    return {
        "db_engine_sqlalchemy": {"result": 1, "level": 1},
        "db_engine_sqlalchemy_slave": {"result": 1, "level": 1},
        f"{rivers.environment['RIVERS_URL']}rivers": {"level": 1},
        "fun_url": {"level": 1},
        "alembic_alembic.ini_alembic": {"result": REVISION, "level": 1},
    }


def without_timing(report: Any) -> Any:
    """Return a report, whose timings are numbers, without them."""
    for entry in [*report["successes"].values(), *report["failures"].values()]:
        assert entry.pop("timing") >= 0
    return report


@pytest.mark.parametrize("query", ["", "?checks="])
def test_health(connection: Connection, level_1: dict[str, Any], query: str) -> None:
    """By default all checks of level 1 are run."""
    report = connection.get_json(f"c2c/health_check{query}", cors=False)
    assert without_timing(report) == {"successes": level_1, "failures": {}}


def test_health_of_some(connection: Connection, level_1: dict[str, Any]) -> None:
    """Those that are named are run."""
    report = connection.get_json("c2c/health_check?checks=db_engine_sqlalchemy,fun_url", cors=False)
    wanted = {name: level_1[name] for name in ("db_engine_sqlalchemy", "fun_url")}
    assert without_timing(report) == {"successes": wanted, "failures": {}}


def test_health_of_a_misspelt_one(rivers: LocalComposition, connection: Connection, level_1: dict[str, Any]) -> None:
    """A name that is not there is reported beside those that are, which decide, and said once; alone it is a 400."""
    for _ in range(2):
        report = connection.get_json("c2c/health_check?checks=fun_url,fun_ulr", cors=False)
        assert without_timing(report) == {
            "successes": {"fun_url": level_1["fun_url"]},
            "failures": {},
            "unknown": ["fun_ulr"],
        }
    connection.get_json("c2c/health_check?checks=fun_ulr", cors=False, expected_status=400)
    connection.get_json("c2c/health_check?max_level=x", cors=False, expected_status=400)
    retry_timeout(lambda: len([line for line in rivers.logs("api") if "'fun_ulr'" in line]) == 1)


@pytest.mark.parametrize("by_operator", [False, True])
def test_health_up_to_level_2(
    rivers: LocalComposition, connection: Connection, level_1: dict[str, Any], by_operator: bool
) -> None:
    """Redis and the version have a result, what fails a message, and for operators a stack; there is nothing else."""
    headers = KEY if by_operator else {}
    report = connection.get_json("c2c/health_check?max_level=2", cors=False, expected_status=500, headers=headers)
    report = without_timing(report)
    redis = rivers.environment["C2C_REDIS_SENTINELS"]
    for name in (redis, "version"):
        assert report["successes"][name].pop("result")
    stacks = [one.pop("stacktrace", None) for one in report["failures"].values()]
    assert all("trouble.py" in stack for stack in stacks) if by_operator else stacks == [None, None]
    assert report == {
        "successes": {**level_1, redis: {"level": 2}, "version": {"level": 2}},
        "failures": {
            "fail": {"message": "it is dry", "level": 2},
            "fail_json": {"message": "it is dry", "result": {"level": -1}, "level": 2},
        },
    }


def test_health_of_none(connection: Connection) -> None:
    """At level 0 there is nothing."""
    assert connection.get_json("c2c/health_check?max_level=0", cors=False) == {"successes": {}, "failures": {}}


# -- index -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["c2c", "c2c/"])
def test_index(connection: Connection, path: str) -> None:
    """Anybody sees the health checks, and operators the rest, by cookie too."""
    page = connection.get(path, cors=False)
    assert page is not None
    assert "Health checks" in page
    assert "Debug" not in page
    page = connection.session.post(connection.url("c2c"), data={"secret": SECRET}, timeout=30).text
    assert "Debug" in page
    page = connection.get(path, cors=False)
    assert page is not None
    assert "Debug" in page


def test_links_of_the_index(connection: Connection) -> None:
    """Behind a proxy all links are those of the proxy."""
    operator(connection, "debug/error?status=500", expected_status=500)  # what went wrong lately is on the page
    headers = {"X-Forwarded-Proto": "https", "Host": "app:8080", **KEY}
    page = connection.get("c2c", cors=False, headers=headers)
    assert page is not None
    assert "https://app:8080/api/" in page
    assert "http://app:8080/api/" not in page


# -- logging ---------------------------------------------------------------------------------------------------------


def test_levels_of_loggers(connection: Connection) -> None:
    """A level that is set is that of the loggers below it, too; what was changed is listed."""

    def level(name: str, new: str = "") -> Any:
        found = operator(connection, f"logging/level?name={name}{f'&level={new}' if new else ''}")
        return found["level"], found["effective_level"]

    level("sqlalchemy.engine", "DEBUG")
    assert level("sqlalchemy.engine") == ("DEBUG", "DEBUG")
    assert level("sqlalchemy.engine.of_the_tests") == ("NOTSET", "DEBUG")
    assert level("sqlalchemy.engine", "INFO") == ("INFO", "INFO")
    assert level("sqlalchemy.engine.of_the_tests") == ("NOTSET", "INFO")
    assert level("sqlalchemy.engine", "DEBUG") == ("DEBUG", "DEBUG")
    assert operator(connection, "logging/level")["overrides"] == {"sqlalchemy.engine": "DEBUG"}
    operator(connection, "logging/level?name=sqlalchemy.engine&level=reset")


@pytest.mark.parametrize("query", ["&secret=wrong", ""])
def test_levels_are_closed(connection: Connection, query: str) -> None:
    """Without the secret there is no level to see."""
    connection.get_json(f"c2c/logging/level?name=sqlalchemy.engine{query}", cors=False, expected_status=403)


def test_json_lines(rivers: LocalComposition) -> None:
    """The second service logs JSON, with the logger and the id that came with the request."""
    url = f"http://127.0.0.1:{rivers.environment['SECOND_PORT']}/api/rivers"
    requests.get(url, headers={"X-Request-ID": "42 is the answer"}, timeout=30)

    def logged() -> bool:
        lines = [line[line.index("{") :] for line in rivers.logs("second") if "{" in line]
        found = [one for one in map(json.loads, lines) if one.get("request_id") == "42 is the answer"]
        return "rivers" in {one["logger_name"] for one in found}

    retry_timeout(logged)


# -- metrics ---------------------------------------------------------------------------------------------------------


def test_pids_of_metrics(rivers: LocalComposition) -> None:
    """Metrics are those of the master and of two workers, once each has served something; each tells its own, too."""

    def seen() -> tuple[set[str], set[str]]:
        requests.get(f"http://127.0.0.1:{rivers.environment['SECOND_PORT']}/api/rivers", timeout=30)
        text = requests.get(f"http://127.0.0.1:{rivers.environment['METRICS_PORT']}/metrics", timeout=30).text
        return set(re.findall(r',pid="(\d+)"', text)), set(re.findall(r'^rivers_level{pid="(\d+)"', text, re.MULTILINE))

    retry_timeout(lambda: len(seen()[0]) == 3 and len(seen()[1]) == 2)
    pids, workers = seen()
    assert len(pids) == 3
    assert workers < pids


OF_ROUTE = "group method route status"
PID = "pid"
NAMES = {  # name: type, labels
    "c2cwsgiutils_pyramid_routes_seconds": ("summary", OF_ROUTE),
    "c2cwsgiutils_pyramid_render_seconds": ("summary", OF_ROUTE),
    "c2cwsgiutils_database_seconds": ("summary", "engine what"),
    "c2cwsgiutils_requests_seconds": ("summary", "group hostname method port scheme status"),
    "c2cwsgiutils_redis_seconds": ("summary", "command"),
    "c2cwsgiutils_health_check_db_seconds": ("summary", "check configuration connection"),
    "c2cwsgiutils_health_check_failure": ("gauge", "name"),
    "c2cwsgiutils_alembic_version": ("gauge", "configuration name pid version"),
    "c2cwsgiutils_version": ("gauge", "SQLAlchemy application c2cwsgiutils git_hash gunicorn pid pyramid"),
    "c2cwsgiutils_process_smap_pss_bytes": ("gauge", "name pid"),
    "python_gc_objects_collected": ("counter", "generation pid"),
    "python_gc_objects_uncollectable": ("counter", "generation pid"),
    "python_gc_collections": ("counter", "generation pid"),
    "process_virtual_memory_bytes": ("gauge", PID),
    "process_resident_memory_bytes": ("gauge", PID),
    "process_start_time_seconds": ("gauge", PID),
    "process_open_fds": ("gauge", PID),
    "process_max_fds": ("gauge", PID),
    "process_cpu_seconds": ("counter", PID),
    "python_info": ("gauge", "implementation major minor patchlevel version"),
    "rivers_level": ("gauge", PID),
}


def test_names_of_metrics(rivers: LocalComposition) -> None:
    """After traffic of each kind all metrics of the time are there, with their types and labels."""
    base = f"http://127.0.0.1:{rivers.environment['SECOND_PORT']}/api/"
    asked = "rivers", "nowhere", "error", "error?code=400", "identified", "cached", "c2c/health_check?max_level=2"
    for path in asked:
        requests.get(base + path, timeout=30)
    text = requests.get(f"http://127.0.0.1:{rivers.environment['METRICS_PORT']}/metrics", timeout=30).text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(found) == len(re.findall("^# TYPE", text, re.MULTILINE))  # each name once
    labels = {name: " ".join(sorted(family.samples[0].labels)) for name, family in found.items()}
    assert {name: (found[name].type, labels[name]) for name in NAMES if name in found} == NAMES


def test_metrics_of_the_service_itself(rivers: LocalComposition) -> None:
    """What the service counts with prometheus_client is the sum over its workers, of those that ended, too."""
    base = f"http://127.0.0.1:{rivers.environment['SECOND_PORT']}/api/"
    metrics = f"http://127.0.0.1:{rivers.environment['METRICS_PORT']}/metrics"

    def asked() -> float:
        found = re.findall(r"^rivers_asked_total (\S+)", requests.get(metrics, timeout=30).text, re.MULTILINE)
        return float(found[0]) if found else 0.0

    before = asked()
    for _ in range(10):
        requests.get(f"{base}rivers", timeout=30, headers={"Connection": "close"})
    assert asked() == before + 10
    memory = requests.get(f"{base}c2c/debug/memory?limit=1", headers=KEY, timeout=30).json()
    workers = {one["pid"] for one in memory} - {json.loads(daemon_line(rivers))["pid"]}
    os.kill(min(workers), signal.SIGTERM)
    retry_timeout(lambda: not Path(f"/proc/{min(workers)}").exists())
    assert asked() == before + 10
    requests.get(f"{base}rivers", timeout=60)
    assert asked() == before + 11


def daemon_line(rivers: LocalComposition) -> str:
    """Return what the daemon logged when it was up."""
    (line,) = (line for line in rivers.logs("daemon") if "The daemon is up" in line)
    return line[line.index("{") :]


# -- request ids -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "42 is the answer"])
def test_request_ids(connection: Connection, given: str | None) -> None:
    """A request to another service carries the id: one that was made, or the one that came."""
    found = connection.get_json("identified", headers={"X-Request-ID": given} if given else {}, cors=False)
    assert found["other"] == found["id"]
    assert found["id"] == given if given else found["id"]


# -- SQL profiler ----------------------------------------------------------------------------------------------------


def test_sql_profiler(connection: Connection) -> None:
    """It is off, is switched on, stays on, a statement is run meanwhile, and it is off again."""
    assert operator(connection, "sql_profiler") == {"status": 200, "enabled": False}
    assert operator(connection, "sql_profiler?enable=1") == {"status": 200, "enabled": True}
    assert operator(connection, "sql_profiler") == {"status": 200, "enabled": True}
    assert connection.get_json("rivers") == {"side": "slave"}
    assert operator(connection, "sql_profiler?enable=0") == {"status": 200, "enabled": False}


def test_sql_profiler_is_closed(connection: Connection) -> None:
    """Without the secret it is not seen."""
    connection.get_json("c2c/sql_profiler", cors=False, expected_status=403)


# -- time-out, ping, versions, scripts -------------------------------------------------------------------------------


def test_a_statement_that_takes_long(connection: Connection) -> None:
    """The database's time-out is an error as JSON."""
    found = connection.get_json("wait", expected_status=500)
    assert "statement timeout" in found["message"]


def test_ping(connection: Connection) -> None:
    """It answers pages, too."""
    assert connection.get_json("ping") == {"pong": True}


def test_versions(connection: Connection) -> None:
    """With the secret the version file is shown; without it is not."""
    found = operator(connection, "versions.json")
    assert found["main"]["git_hash"] == "0123456789abcdef"
    assert found["packages"]["pyramid"]
    connection.get_json("c2c/versions.json", cors=False, expected_status=403)


def test_script(rivers: LocalComposition) -> None:
    """A script with the arguments of the time loads the application, and has a session of its own."""
    shown = rivers.run("api", sys.executable, "hello.py", "c2c://production.ini", "more=x=y")
    assert shown.splitlines().count("master") == 1


# -- stats-db --------------------------------------------------------------------------------------------------------

OF_TABLES = {
    "c2cwsgiutils_database_table_count": "schema table",
    "c2cwsgiutils_database_table_size": "schema table",
    "c2cwsgiutils_database_table_index_size": "fork index schema table",
    "c2cwsgiutils_database_table_index_usage": "action index schema table",
}


@pytest.fixture(scope="module")
def stats_db(rivers: LocalComposition) -> Iterator[Any]:
    """Give what starts the command as a service of its own; its URL is for who scrapes."""
    started: list[subprocess.Popen[str]] = []

    def start(*more: str) -> tuple["subprocess.Popen[str]", str]:
        port = str(free_port())
        command = ["c2cwsgiutils-stats-db", "c2c://production.ini", "--db", rivers.environment["RIVERS_DB"]]
        environment = {**rivers.environment, "C2C_PROMETHEUS_PORT": port, "C2CWSGIUTILS_STATS_DB_SLEEP": "0.1"}
        folder = rivers.environment["PYTHONPATH"]
        done = subprocess.Popen(
            [*command, "--schema", "public", *more], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(done)
        return done, f"http://127.0.0.1:{port}/metrics"

    yield start
    for one in started:
        one.kill()
        one.communicate()


@pytest.fixture(scope="module")
def waiting(stats_db: Any) -> tuple[Any, str, float]:
    """Give the command that was started with the first test of this module, its URL, and when."""
    return (*stats_db(), time.monotonic())


def scraped(url: str) -> dict[str, Any]:
    """Scrape as soon as there is something, and return the metrics by name."""
    deadline = time.monotonic() + 60
    while True:
        try:
            text = requests.get(url, timeout=30).text
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return {family.name: family for family in text_string_to_metric_families(text)}


def test_stats_db_waits(waiting: tuple[Any, str, float]) -> None:
    """Nobody scrapes for 30 s: it is there; a connection without a request is no scrape; one scrape, and it ends."""
    command, url, began = waiting
    port = int(url.rsplit(":", 1)[1].partition("/")[0])

    def listens() -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", port)) == 0

    retry_timeout(listens)
    time.sleep(max(0.0, began + 30 - time.monotonic()))
    assert command.poll() is None
    found = scraped(url)
    labels = {name: " ".join(sorted(family.samples[0].labels)) for name, family in found.items()}
    assert labels == OF_TABLES
    assert {one.labels["table"] for one in found["c2cwsgiutils_database_table_count"].samples} >= {"hello", "gauge"}
    assert command.wait(30) == 0


@pytest.mark.parametrize(
    ("more", "name", "labels"),
    [
        (["--extra", "SELECT 'rivers', count(*) FROM hello"], "c2cwsgiutils_database_extra", {"metric": "rivers"}),
        (
            ["--extra-gauge", "SELECT 'long' AS length, 7 AS number", "length", "How long"],
            "c2cwsgiutils_database_length",
            {"metric": "long"},
        ),
    ],
    ids=["extra", "extra-gauge"],
)
def test_stats_db_with_more(stats_db: Any, more: list[str], name: str, labels: dict[str, str]) -> None:
    """What further statements give is served, too, and the command ends."""
    command, url = stats_db(*more)
    assert scraped(url)[name].samples[0].labels == labels
    assert command.wait(30) == 0


def test_stats_db_with_a_broken_statement(stats_db: Any) -> None:
    """A statement that is broken ends it with a status that is not 0, after all tries, though nobody scrapes."""
    command, _ = stats_db("--extra", "SELECT nothing FROM nowhere")
    assert command.wait(60) == 1
    assert command.stderr.read().count("nowhere") == 10


# -- pserve, daemons -------------------------------------------------------------------------------------------------


def test_pserve(rivers: LocalComposition) -> None:
    """Waitress serves the same file; scheme, host and client are what the environment forces."""
    base = f"http://127.0.0.1:{rivers.environment['PSERVE_PORT']}/api/"
    assert requests.get(base + "rivers", timeout=30).json() == {"side": "slave"}
    found = requests.get(base + "c2c/debug/headers", headers=KEY, timeout=30).json()["client_info"]
    assert (found["scheme"], found["host"], found["client_addr"]) == ("https", "rivers.example", "192.0.2.7")
    assert (found["remote_addr"], found["server_name"]) == ("192.0.2.7", "rivers.example")
    assert any("does as c2cwsgiutils 6 did" in line for line in rivers.logs("pserve"))


def test_daemon(rivers: LocalComposition) -> None:
    """A process without the application logs as the file says, answers operators, and shows its own metrics."""
    record = json.loads(daemon_line(rivers))
    assert record["logger_name"] == "rivers"
    text = requests.get(f"http://127.0.0.1:{rivers.environment['DAEMON_PORT']}/", timeout=30).text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    for name in ("c2cwsgiutils_database_seconds", "c2cwsgiutils_redis_seconds"):
        assert (found[name].type, " ".join(sorted(found[name].samples[0].labels))) == NAMES[name]
    second = f"http://127.0.0.1:{rivers.environment['SECOND_PORT']}/api/c2c/debug/memory?limit=1"
    retry_timeout(lambda: record["pid"] in {one["pid"] for one in requests.get(second, headers=KEY, timeout=30).json()})


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_no_profiler(connection: Connection) -> None:
    """The variable of the Python profiler, which services still set, shows none."""
    url = f"{connection.base_url.removesuffix('api/')}profiler"
    assert requests.get(url, timeout=30, allow_redirects=False).status_code == 404


def test_composition(rivers: LocalComposition) -> None:
    """A command is run; one that takes longer than it may raises."""
    assert rivers.run("api", "echo", "it flows") == "it flows\n"
    with pytest.raises(subprocess.TimeoutExpired):
        rivers.run("api", "sleep", "60", timeout=0.2)
