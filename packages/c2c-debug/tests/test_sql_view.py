"""The switch of the SQL profiler, and its report, over HTTP."""

import json
import time

import pytest
import sqlalchemy as sa

from c2c_debug.sql.report import merged

URL = "sqlite://"


@pytest.fixture
def sql(make_service):
    """Give an application that asks a database, with the profiler enabled; it is off in the end."""
    service = make_service(**{"c2c.sql_profiler_enabled": "true"})
    engine = sa.create_engine(URL, poolclass=sa.pool.StaticPool)

    def view(request):
        with engine.connect() as connection:
            for number in range(int(request.params["times"])):
                connection.execute(sa.text("SELECT :number"), {"number": number})
        return {}

    service.config.add_route("asks", "/asks")
    service.config.add_view(view, route_name="asks", renderer="json")
    yield service
    service.get("/sql_profiler?enable=0")
    engine.dispose()


def test_the_switch(sql):
    """Off at the start; on and off by ``enable``; the answer is what is in force."""
    assert sql.get("/sql_profiler").json == {"status": 200, "enabled": False}
    assert sql.get("/sql_profiler?enable=1").json == {"status": 200, "enabled": True}
    assert sql.get("/sql_profiler").json == {"status": 200, "enabled": True}
    assert sql.get("/sql_profiler?enable=0").json == {"status": 200, "enabled": False}
    assert sql.get("/sql_profiler").json == {"status": 200, "enabled": False}


def test_it_ends_by_itself(sql, eventually):
    """With a ttl the end is told, and comes."""
    until = sql.get("/sql_profiler?enable=1&ttl=1").json["until"]
    assert until - time.time() < 1.5
    eventually(lambda: sql.get("/sql_profiler").json == {"status": 200, "enabled": False})


def test_the_report(sql):
    """Statements with route, line, and suspicion of N+1 where one request runs the same ten times."""
    assert sql.get("/sql_profiler?report=1").json["statements"] == []
    sql.get("/sql_profiler?enable=1")
    sql.app.get("/asks?times=9")
    (found,) = sql.get("/sql_profiler?report=1").json["statements"]
    assert found["statement"] == "SELECT ?"
    assert found["count"] == 9
    assert found["n_plus_one"] is False
    sql.app.get("/asks?times=10")
    answer = sql.get("/sql_profiler?report=1").json
    (found,) = answer["statements"]
    assert found["count"] == 19
    assert found["n_plus_one"] is True
    assert found["max_per_request"] == 10
    assert found["route"] == "asks"
    assert __file__ in found["line"]
    assert found["mean"] == pytest.approx(found["total"] / 19, abs=1e-6)
    assert answer["complete"] is True
    assert answer["missing"] == []
    assert answer["enabled"] is True
    assert answer["connection_wait"]["count"] == 2


def test_the_report_stays_when_it_is_off(sql):
    """What was counted can be read after; the next time it begins anew."""
    sql.get("/sql_profiler?enable=1")
    sql.app.get("/asks?times=1")
    sql.get("/sql_profiler?enable=0")
    sql.app.get("/asks?times=1")
    assert sql.get("/sql_profiler?report=1").json["statements"][0]["count"] == 1
    sql.get("/sql_profiler?enable=1")
    assert sql.get("/sql_profiler?report=1").json["statements"] == []


def test_what_a_request_counts_is_bounded(sql):
    """A request of thousands of statements, which no two are the same, keeps the numbers of 1,000."""
    kept = []

    def view(request):
        with sa.create_engine(URL).connect() as connection:
            for number in range(1_100):
                connection.exec_driver_sql(f"SELECT {number}")
        kept.append(len(request.environ["c2c_debug.statements"]))
        return {}

    sql.config.add_route("many", "/many")
    sql.config.add_view(view, route_name="many", renderer="json")
    sql.get("/sql_profiler?enable=1")
    sql.app.get("/many")
    assert kept == [1_000]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("enable=maybe", "enable"),
        ("enable=1&ttl=x", "ttl"),
        ("enable=1&ttl=-1", "ttl"),
        ("enable=1&ttl=1e300", "ttl"),
        ("enable=1&mode=run", "mode"),
        ("report=perhaps", "report"),
    ],
)
def test_bad_parameters(sql, query, names):
    """A 400 names the parameter, and nothing is switched."""
    assert sql.get(f"/sql_profiler?{query}", status=400).json["message"].startswith(names)
    assert sql.get("/sql_profiler").json["enabled"] is False


def test_it_is_for_operators(sql, make_service):
    """Without the secret it is a 403; without the setting there is none."""
    sql.app.get("/c2c/sql_profiler?enable=1", status=403)
    make_service().get("/sql_profiler", status=404)


def test_reports_of_several_processes_are_one():
    """Sums add up; route and line are those of the slowest run; the statement with the most time is first."""

    def one(statement, count, total, longest, route):
        return {
            "statement": statement,
            "count": count,
            "total": total,
            "max": longest,
            "rows": count,
            "wait": 0.5,
            "max_per_request": count,
            "route": route,
            "line": route,
        }

    wait = {"count": 2, "total": 3.0, "max": 2.0}
    found = merged(
        [
            {"statements": [one("a", 2, 1.0, 0.7, "slow")], "dropped": 1, "connection_wait": wait},
            {
                "statements": [one("b", 20, 5.0, 0.5, "b"), one("a", 3, 1.0, 0.5, "fast")],
                "dropped": 0,
                "connection_wait": wait,
            },
        ]
    )
    assert [each["statement"] for each in found["statements"]] == ["b", "a"]
    second = found["statements"][1]
    assert (second["count"], second["total"], second["max"], second["route"], second["wait"]) == (
        5,
        2.0,
        0.7,
        "slow",
        1.0,
    )
    assert [each["n_plus_one"] for each in found["statements"]] == [True, False]
    assert found["connection_wait"] == {"count": 4, "total": 6.0, "max": 2.0}
    assert found["dropped"] == 1


_APP = """
import logging, os
import sqlalchemy as sa
from pyramid.config import Configurator
from sqlalchemy.engine.default import DefaultDialect

logging.basicConfig(level="INFO")
engine = sa.create_engine(os.environ["SQL"])

def ask(request):
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT count(*) FROM pg_class WHERE relname LIKE '%p%' AND oid > :o"), {"o": 5})
    return {"pid": os.getpid(), "on": DefaultDialect.do_execute is not original}

def build():
    config = Configurator()
    config.include("c2c_debug")
    config.add_route("ask", "/ask")
    config.add_view(ask, route_name="ask", renderer="json")
    return config.make_wsgi_app()

application = build()
original = DefaultDialect.do_execute
"""


@pytest.mark.parametrize("preload", [False, True])
def test_all_workers_are_switched(workers, postgres, eventually, preload):
    """On in all of three workers, those born later too; one report of all; off in all."""
    url = sa.make_url(postgres.url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    some = workers(_APP, preload=preload, env={"SQL": url, "C2C_SQL_PROFILER_ENABLED": "1"})

    def all_are(on):
        """Whether each worker answers, and is so."""
        answers = [json.loads(body) for body in some.ask_all("/ask")]
        return {(one["pid"], one["on"]) for one in answers} == {(pid, on) for pid in some.server.pids()}

    eventually(lambda: all_are(False))
    assert some.get("/sql_profiler?enable=1") == {"status": 200, "enabled": True}
    eventually(lambda: all_are(True))
    report = some.get("/sql_profiler?report=1")
    assert report["complete"]
    (found,) = report["statements"]
    assert found["count"] >= 3
    assert found["route"] == "ask"
    plans = [line for line in some.server.log_text().splitlines() if "actual time=" in line]
    assert plans
    before = set(some.server.pids())
    some.server.signal(1)
    eventually(lambda: len(some.server.pids()) == 3 and not before & set(some.server.pids()) and all_are(True))
    assert some.get("/sql_profiler?enable=0") == {"status": 200, "enabled": False}
    eventually(lambda: all_are(False))
