"""The service of 2020, run for real: gunicorn, daemons of several hosts, PostgreSQL, Redis, syslog, statsd, Sentry."""

import itertools
import re
from typing import Any

import psycopg2
import pytest

from c2cwsgiutils.acceptance.connection import CacheExpected
from c2cwsgiutils.acceptance.utils import retry_timeout


@pytest.fixture
def database(deployment: Any) -> str:
    """Give the URL of the service's database."""
    return str(deployment.composition.environment["SQLALCHEMY_URL"])


def test_views(deployment: Any) -> None:
    """Views read and write by the global session; services have CORS; errors are JSON."""
    connection = deployment.connection
    assert connection.get_json("parcels")[0] == {"id": 1, "owner": "Anna"}
    connection.post_json("parcels", json={"id": 2, "owner": "Björn"})
    assert connection.get_json("parcels/2") == {"id": 2, "owner": "Björn"}
    again = connection.post_json("parcels", json={"id": 2, "owner": "Björn"}, expected_status=400)
    assert set(again) == {"message", "status"}
    assert connection.get_json("parcels/77", expected_status=404) == {"message": "No such parcel", "status": 404}
    preflight = connection.options(
        "parcels", headers={"Access-Control-Request-Method": "GET"}, cache_expected=CacheExpected.YES
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == connection.origin


def test_replica(deployment: Any) -> None:
    """``force_slave`` sends a POST to the replica, once that is known to be there: a loaded machine takes its time."""
    expected = {"same": "x", "owner": "Anna", "read_only": "on"}
    retry_timeout(lambda: deployment.connection.post_json("echo", json="x") == expected)


def test_health_checks(deployment: Any) -> None:
    """Both engines, the migrations' version, Redis, the version; what the service says of itself."""
    report = deployment.operator("health_check?max_level=2")
    assert {"db_engine_sqlalchemy", "db_engine_sqlalchemy_slave"} <= set(report["successes"])
    alembic = next(one for name, one in report["successes"].items() if name.startswith("alembic_"))
    assert alembic["result"] == "4a8c1bb4e775"
    assert any("redis" in name for name in report["successes"])
    retry_timeout(
        lambda: deployment.operator("health_check?checks=version")["successes"]["version"]["result"]["count"] == 2
    )
    grumpy = deployment.operator("health_check?checks=grumpy", expected_status=500)["failures"]["grumpy"]
    assert (grumpy["message"], grumpy["result"]) == ("I'm not happy", {"some": "json"})


def test_versions(deployment: Any) -> None:
    """What ``c2cwsgiutils_genversion.py`` wrote is shown, and said at the start."""
    versions = deployment.connection.get_json("tools/versions.json", cors=False)
    assert versions["main"] == {"git_hash": "0123456789abcdef", "git_tag": "1.4"}
    assert "c2c-compat" in versions["packages"]
    deployment.syslog.wait(lambda one: "Starting version 1.4 (0123456789abcdef)" in one.text)
    code = "import c2cwsgiutils.version as v; print(v.get_version())"
    assert deployment.run(deployment.composition.environment["PYTHON"], "-c", code).stdout == "0123456789abcdef\n"


def test_statistics(deployment: Any) -> None:
    """Timers and counters of the service and automatic ones are in stats.json and at statsd, prefixed and tagged."""
    for _ in range(20):
        deployment.connection.get("parcels")
    shown = deployment.operator("stats.json?scope=all")
    assert shown["counters"]["parcels/listed"] >= 20
    assert shown["timers"]["parcels/list"]["nb"] >= 20
    routes = {key for key in shown["timers"] if key.startswith("route/")}
    assert "route/group=2/method=GET/route=parcels/status=200" in routes
    listed = deployment.statsd.wait(lambda metric: metric.name == "parcels.parcels.listed")[0]
    assert listed.tags == {"instance": "test"}
    route = deployment.statsd.wait(lambda metric: metric.name == "parcels.route" and metric.tags["route"] == "parcels")
    assert route[0].tags["method"] == "GET"
    deployment.statsd.wait(lambda metric: metric.name == "parcels.importer.run", 2)


def test_reset_is_open(deployment: Any) -> None:
    """Everybody may reset stats.json, as it was; each process said so once."""
    assert "counters" in deployment.connection.get_json("tools/stats.json?reset=1", cors=False)
    said = deployment.syslog.wait(lambda one: "keeps open what was open in c2cwsgiutils 3" in one.text)
    pids = [record["pid"] for one in said if (record := one.cee())["host"] == "parcels-web-1"]
    assert pids
    assert len(pids) == len(set(pids))


def test_prometheus(deployment: Any) -> None:
    """The service's own metric is there, and the time of its routes."""
    deployment.connection.get("parcels")
    text = deployment.connection.get("metrics", cors=False)
    assert 'parcels_age_seconds{pod_name="parcels-web-1",town="Aigle"} 12.5' in text
    assert "c2c_route_seconds_bucket" in text


def test_syslog(deployment: Any) -> None:
    """Records of requests, daemons and migrations arrive with their fields."""
    deployment.connection.get("parcels", headers={"X-Parcels-Id": "42 is the answer"})
    record = deployment.syslog.wait(lambda one: "42 is the answer" in one.text and "Listed" in one.text)[0].cee()
    assert (record["method"], record["path"], record["matched_route"]) == ("GET", "/api/parcels", "parcels")
    assert (record["logger_name"], record["level"], record["request_id"]) == ("parcels.views", 6, "42 is the answer")
    deployment.syslog.wait(lambda one: "The importer is up" in one.text, 2)
    migration = deployment.syslog.wait(lambda one: "The parcels are there" in one.text)[0].cee()
    assert migration["logger_name"] == "parcels.migration"


def test_logs_in_the_database(deployment: Any, database: str) -> None:
    """Records of requests and daemons are rows; what the handler leaves out is none."""
    deployment.connection.get("parcels")
    deployment.connection.post_json("cache")

    def messages() -> set[str]:
        with psycopg2.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT msg FROM parcels_logs.logs WHERE logger LIKE 'parcels%'")
            return {row[0].split()[0] for row in cursor.fetchall()}

    retry_timeout(lambda: {"Listed", "The"} <= messages())
    assert "Reloaded" not in messages()


def test_application_for_other_servers(deployment: Any) -> None:
    """``wsgi_app:application`` has the filters of c2c-run, ``create_application()`` those of the pipeline alone."""
    code = (
        "from c2cwsgiutils.wsgi import create_application\nfrom c2cwsgiutils.wsgi_app import application\n"
        "from webtest import TestApp\n"
        "for app in (application, create_application(), create_application('c2c://production.ini')):\n"
        "    print(TestApp(app).get('/api/proxied', headers={'X-Forwarded-Host': 'parcels.example'}).json['url'])"
    )
    done = deployment.run(deployment.composition.environment["PYTHON"], "-c", code, LOG_TYPE="console")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("http://parcels.example") == 3


def test_retired_variables(deployment: Any) -> None:
    """What nothing reads any more is named, with the remedy."""
    retired = deployment.syslog.wait(lambda one: "Retired settings" in one.text)
    assert all("C2C_REDIS_TIMEOUT (use C2C_REDIS_OPTIONS=socket_timeout=3)" in one.text for one in retired)


def test_what_is_open_is_said_once(deployment: Any) -> None:
    """Each worker keeps open what was open, and one line of the service says so."""

    def members() -> list[Any] | None:
        answers = [one for one in deployment.connection.post_json("cache") if one]
        return answers if len(answers) == 4 else None

    workers = {one["pid"] for one in retry_timeout(members) or () if one["hostname"] == "parcels-web-1"}
    said = deployment.syslog.wait(lambda one: "keeps open what was open" in one.text)
    by = [int(one.text.rpartition('"pid":')[2].partition(",")[0]) for one in said]  # preloaded, it is the master
    assert len(workers) == 2
    assert sum(pid in workers for pid in by) <= 1, by


def test_broadcasts(deployment: Any) -> None:
    """What a request calls runs in both workers and both daemons; answers tell host and process."""

    def everywhere() -> list[dict[str, Any]] | None:
        answers = deployment.connection.post_json("cache")
        return answers if len(answers) == 4 and None not in answers else None

    answers = retry_timeout(everywhere)
    assert answers is not None
    assert sorted(one["hostname"] for one in answers) == ["importer-a", "importer-b", "parcels-web-1", "parcels-web-1"]
    assert len({one["pid"] for one in answers}) == 4
    assert {one["reloaded"] for one in answers} == {"parcels"}


def test_levels_everywhere(deployment: Any) -> None:
    """A level is set in daemons, too, and goes back."""

    def levels() -> set[int]:
        return {one["level"] for one in deployment.connection.post_json("cache") if one}

    def hosts() -> set[str]:
        return {one["hostname"] for one in deployment.connection.post_json("cache") if one}

    retry_timeout(lambda: len(hosts()) == 3)
    assert deployment.operator("logging/level?name=parcels")["level"] == "INFO"
    assert deployment.operator("logging/level?name=parcels&level=DEBUG")["level"] == "DEBUG"
    retry_timeout(lambda: levels() == {10})
    deployment.operator("logging/level?name=parcels&level=reset")
    retry_timeout(lambda: levels() == {20})


def test_debug(deployment: Any) -> None:
    """Stacks and memory are those of the daemons, too."""

    def hosts() -> set[str]:
        stacks = deployment.operator("debug/stacks")
        return {thread.partition("/")[0] for stack in stacks for thread in stack.get("threads", ())}

    retry_timeout(lambda: hosts() == {"parcels-web-1", "importer-a", "importer-b"})
    memory = deployment.operator("debug/memory?limit=3", timeout=150)
    assert {one["hostname"] for one in memory} == {"parcels-web-1", "importer-a", "importer-b"}
    deployment.connection.get_json("tools/debug/stacks", expected_status=403, cors=False)


def test_sql_profiler(deployment: Any) -> None:
    """Its plans are logged where the ini file has ``c2cwsgiutils.sql_profiler`` at INFO."""
    assert deployment.operator("sql_profiler") == {"status": 200, "enabled": False}
    assert deployment.operator("sql_profiler?enable=1")["enabled"] is True

    def planned() -> bool:
        deployment.connection.get("parcels")
        return any("Seq Scan on parcel" in one.text or "Index" in one.text for one in plans())

    def plans() -> list[Any]:
        return [one for one in deployment.syslog.messages if "c2c_debug.sql_profiler" in one.text]

    retry_timeout(planned)
    assert deployment.operator("sql_profiler?enable=0")["enabled"] is False


def test_profiler(deployment: Any) -> None:
    """The Python profiler is at the root, for operators; a request is in it once, although two filters see it."""
    connection = deployment.connection
    page = f"{connection.url('').removesuffix('api/')}profiler"
    connection.get(page, expected_status=403, cors=False)
    form = {"headers": deployment.key, "cors": False, "cache_expected": CacheExpected.DONT_CARE}
    connection.post(f"{page}?enable", **form)

    def profiled(path: str) -> int:
        found: int = connection.get(page, headers=deployment.key, cors=False).count(f">{path}</a>")
        return found

    for number in range(1, 4):
        connection.get_json(f"parcels/{number}00", expected_status=404)
        retry_timeout(lambda path=f"/api/parcels/{number}00": profiled(path))
    connection.post(f"{page}?disable", **form)
    assert [profiled(f"/api/parcels/{number}00") for number in (1, 2, 3)] == [1, 1, 1]


def test_proxies(deployment: Any) -> None:
    """``egg:c2cwsgiutils#client_info`` of the pipeline, and c2c-run's own filter, say once what the proxy says."""
    headers = {"Forwarded": "for=192.0.2.7;host=parcels.example;proto=https"}
    found = deployment.connection.get_json("proxied", headers=headers)
    assert found["url"] == "https://parcels.example/api/proxied"
    assert found["client"] == "192.0.2.7"


def test_request_ids(deployment: Any) -> None:
    """The id of a request goes on to the services that it asks, under the configured name."""
    url = deployment.connection.url("proxied")
    answer = deployment.connection.get_raw("proxied", params={"other": url}, headers={"X-Parcels-Id": "abc"})
    assert answer.json()["id"] == answer.json()["told"]["id"] == "abc"


def test_sentry(deployment: Any) -> None:
    """One event an exception, although the pipeline has the filter, and c2c-run too; daemons report, too."""
    assert deployment.connection.get_json("broken", expected_status=500)["status"] == 500

    def of(text: str) -> list[dict[str, Any]]:
        found = [event for event in deployment.sentry.events if text in str(event.get("exception"))]
        assert all(event["environment"] == "staging" and event["tags"]["service"] == "parcels" for event in found)
        return found

    retry_timeout(lambda: of("broken on purpose"))
    retry_timeout(lambda: len(of("the importer failed on purpose")) >= 2)
    deployment.connection.get_json("broken", expected_status=500)
    retry_timeout(lambda: len(of("broken on purpose")) >= 2)
    assert len(of("broken on purpose")) == 2


def test_index_page(deployment: Any) -> None:
    """The page has what the service adds to it."""
    page = deployment.connection.get("tools", headers=deployment.key, cors=False)
    assert page is not None
    assert "<p>Parcels of the town</p>" in page
    assert "<h3>Imports</h3>" in page
    assert deployment.connection.get_json("imports_enabled", cors=False, cache_expected=CacheExpected.DONT_CARE) == {
        "enabled": True
    }


def test_maintenance(deployment: Any) -> None:
    """Everybody is on the replica while it lasts."""
    assert deployment.operator("db/maintenance") == {"status": 200, "current_readonly": None}
    assert deployment.operator("db/maintenance?readonly=true")["readonly"] is True
    numbers = itertools.count(1000)

    def refused() -> bool:
        new = {"id": next(numbers), "owner": "Chloé"}
        answer = deployment.connection.post_json("parcels", json=new, expected_status=(200, 503))
        return answer != {}

    retry_timeout(refused)
    deployment.operator("db/maintenance?readonly=false")
    retry_timeout(lambda: not refused())


def test_models_graph(deployment: Any) -> None:
    """``generate_model_graph`` in a script of the service's."""
    done = deployment.run(deployment.composition.environment["PYTHON"], "models_graph.py")
    assert done.returncode == 0, done.stderr
    assert "Parcel" in done.stdout


def test_migration_is_repeatable(deployment: Any) -> None:
    """Alembic's environment imports setup_process each time; broadcasts are ready and end with it."""
    done = deployment.run("alembic", "current")
    assert done.returncode == 0, done.stderr
    assert "4a8c1bb4e775 (head)" in done.stdout
    assert "Traceback" not in done.stderr


def test_daemon_that_ends(deployment: Any) -> None:
    """A script ends when its work does: nothing that was set up keeps it."""
    done = deployment.run(deployment.composition.environment["PYTHON"], "importer.py", "--once", HOST_NAME="script")
    assert done.returncode == 0, done.stderr


# -- what a service of 3.10 met, and meets ----------------------------------------------------------------------------


def test_the_origin_that_was_sent(deployment: Any) -> None:
    """A call that brings an ``Origin`` has that one checked, not the connection's own."""
    deployment.connection.get_json("parcels", headers={"Origin": "https://other.example"})


def test_the_running_application(deployment: Any) -> None:
    """``show_refs.dot`` finds gunicorn's application by the name of its base class."""
    path = "tools/debug/show_refs.dot?analyze_type=gunicorn.app.wsgiapp.WSGIApplication"
    graph = deployment.connection.get(path, headers=deployment.key, cors=False)
    assert graph.startswith("digraph")
    assert "GunicornApplication" in graph


@pytest.mark.parametrize(("path", "status"), [("moved", 301), ("nothing", 204), ("nowhere", 404)])
def test_raised_answers_are_not_cached(deployment: Any, path: str, status: int) -> None:
    """Redirects and 204 that a view raises say ``no-cache``, as errors do."""
    options = {"allow_redirects": False, "cors": False, "expected_status": status}
    response = deployment.connection.get_raw(path, cache_expected=CacheExpected.NO, **options)
    assert "no-cache" in response.headers["Cache-Control"]


def test_names_of_the_checks(deployment: Any) -> None:
    """Redis by its URL, with a result; alembic by its ini; each at the level that it had."""
    successes = deployment.operator("health_check?max_level=2")["successes"]
    redis = next(one for name, one in successes.items() if name.startswith("redis://"))
    assert redis["level"] == 2
    assert redis["result"]["role"] == "master"
    alembic = next(name for name in successes if name.startswith("alembic_"))
    assert re.fullmatch(r"alembic_.*_alembic\.ini_alembic", alembic)
    assert successes[alembic]["level"] == 1
    assert successes["db_engine_sqlalchemy_slave"]["level"] == 1


def test_broadcasts_are_timed(deployment: Any) -> None:
    """The Redis commands of a broadcast are in stats.json."""
    deployment.connection.post_json("cache", json="x")
    retry_timeout(lambda: "redis/cmd=PUBLISH/success=1" in deployment.operator("stats.json?scope=all")["timers"])


@pytest.mark.parametrize("slash", ["", "/"])
def test_page(deployment: Any, slash: str) -> None:
    """With and without the last slash; titles of the time; behind https every address of the service is https."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "parcels.example"}
    page = deployment.connection.get(f"tools{slash}", headers={**headers, **deployment.key}, cors=False)
    titles = re.findall(r"<h2[^>]*>([^<]*)", page)
    assert {"Health checks", "Debug"} <= set(titles)
    # One of the recent errors may say where SQLAlchemy explains it.
    assert set(re.findall(r"https?://[a-z.]+", page)) - {"https://sqlalche.me"} == {"https://parcels.example"}
    anonymous = deployment.connection.get(f"tools{slash}", headers=headers, cors=False)
    assert "Health checks" in anonymous
    assert ">Debug<" not in anonymous


def test_memory_of_the_internals(deployment: Any) -> None:
    """``python_internals_map`` is an argument of ``debug/memory`` as it was."""
    found = deployment.operator("debug/memory?limit=3&python_internals_map=1", timeout=150)
    assert all(len(one["most_common_types"]) == 3 for one in found)
