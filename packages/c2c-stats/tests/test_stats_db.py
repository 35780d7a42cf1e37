"""c2c-stats-db against a real database."""

import contextlib
import io
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from c2c_stats._stats_db import main
from c2c_testing.servers import free_port

COMMAND = str(Path(sys.executable).parent / "c2c-stats-db")


@pytest.fixture(scope="module")
def database(postgres):
    """Give the URL of a database with two schemas, strange names, many tables, for a user without all rights."""
    url = postgres.create_database("stats_db")
    run = lambda sql: postgres.execute(sql, database="stats_db")  # noqa: E731 # shorter than it would be
    run("CREATE TABLE plain (id int PRIMARY KEY, name text)")
    run("INSERT INTO plain SELECT i, 'x' FROM generate_series(1, 7) i")
    run("ANALYZE plain")
    run('CREATE SCHEMA "Odd ""schema%"')
    run('CREATE TABLE "Odd ""schema%"."select ""the"" :table%s" ("id :x" int UNIQUE)')
    run('INSERT INTO "Odd ""schema%"."select ""the"" :table%s" VALUES (1), (2)')
    run("CREATE SCHEMA many")
    for number in range(200):
        run(f"CREATE TABLE many.t{number:03} (id int PRIMARY KEY, other int UNIQUE)")
    run("CREATE SCHEMA closed")
    run("CREATE TABLE closed.a (id int PRIMARY KEY)")
    run("CREATE TABLE closed.secret (id int)")
    run("CREATE TABLE closed.z (id int)")
    run("DROP ROLE IF EXISTS limited")
    run("CREATE ROLE limited LOGIN PASSWORD 'limited'")
    run("GRANT USAGE ON SCHEMA closed TO limited")
    run("GRANT SELECT ON closed.a, closed.z TO limited")
    yield url
    postgres.execute("DROP DATABASE stats_db WITH (FORCE)", database="postgres")
    postgres.execute("DROP ROLE limited", database="postgres")


@pytest.fixture(autouse=True)
def tags(monkeypatch):
    """Use tags, which tell tables of one name apart."""
    monkeypatch.setenv("STATSD_USE_TAGS", "true")


def test_without_tags(database, statsd_sink, monkeypatch):
    """Without STATSD_USE_TAGS the path has what the tags would have."""
    monkeypatch.delenv("STATSD_USE_TAGS")
    assert run("--db", database, "--statsd-address", statsd_sink.address)[0] == 0
    names = {one.name for one in statsd_sink.wait(count=5)}
    assert {"count.public.plain", "size.public.plain", "index_size.public.plain.plain_pkey.main"} <= names
    assert not any(b"#" in datagram for datagram in statsd_sink.datagrams)


def run(*arguments):
    """Run the command; return its status and what it said."""
    err = io.StringIO()
    return main(list(arguments), err), err.getvalue()


def gauges(sink, count):
    """Return name and tags -> value of what a statsd server got."""
    return {(one.name, *sorted(one.tags.items())): one.value for one in sink.wait(count=count)}


def test_statsd(database, statsd_sink):
    """Count, size, index sizes and usage of each table, as gauges with tags; as a real command."""
    subprocess.run(
        [
            COMMAND,
            "--db",
            database,
            "--schema",
            "public",
            "--statsd-address",
            statsd_sink.address,
            "--statsd-prefix",
            "db",
        ],
        check=True,
        timeout=120,
    )
    found = gauges(statsd_sink, 7)
    table = (("schema", "public"), ("table", "plain"))
    index = ("index", "plain_pkey")
    assert found["db.count", *table] == 7
    assert found["db.size", *table] > 0
    assert found["db.index_size", ("fork", "main"), index, *table] > 0
    assert found["db.index_size", ("fork", "fsm"), index, *table] >= 0
    for action in ("scan", "read", "fetch"):
        assert found["db.index_usage", ("action", action), index, *table] >= 0
    assert len(found) == 7


def test_quoted_names(database, statsd_sink):
    """Names with quotes, spaces, colons and percent signs."""
    status, said = run("--db", database, "--schema", 'Odd "schema%', "--statsd_address", statsd_sink.address)
    assert (status, said) == (0, "")
    found = gauges(statsd_sink, 7)
    assert found["count", ("schema", 'Odd "schema%'), ("table", 'select "the" :table%s')] == 2


def test_several_schemas_and_200_tables(database, http_sink):
    """Several schemas, pushed to a Pushgateway as one group."""
    status, said = run(
        *("--db", database, "--schema", "many", "--schema", "public"),
        *("--prometheus-url", http_sink.url, "--prometheus-instance", "test"),
    )
    assert (status, said) == (0, "")
    (request,) = http_sink.wait()
    assert request.path == "/metrics/job/c2c_stats_db/instance/test"
    samples = [
        (sample.name, sample.labels)
        for family in text_string_to_metric_families(request.body.decode())
        for sample in family.samples
    ]
    assert len([name for name, _ in samples if name == "c2c_count"]) == 201
    assert len([name for name, _ in samples if name == "c2c_index_size"]) == 2 * 401
    assert len([name for name, _ in samples if name == "c2c_index_usage"]) == 3 * 401
    assert {"schema": "many", "table": "t007", "index": "t007_pkey", "fork": "fsm"} in [labels for _, labels in samples]


def test_more_series_than_a_service_may_have(database, statsd_sink):
    """The limit of series is for services: here every index is told."""
    status, _ = run("--db", database, "--schema", "many", "--statsd-address", statsd_sink.unix_address)
    assert status == 0
    assert len(gauges(statsd_sink, 200 * 12)) == 200 * 12


def test_table_without_rights(database, statsd_sink):
    """A table that can't be read is named; all others, and its size, are there; the status is 1."""
    url = database.replace("tester:pg-p4ssword@", "limited:limited@")
    status, said = run("--db", url, "--schema", "closed", "--statsd-address", statsd_sink.address)
    assert status == 1
    assert said.count("\n") == 1
    assert said.startswith("c2c-stats-db: closed.secret: ")
    assert "permission denied" in said
    assert "limited:limited" not in said
    found = gauges(statsd_sink, 5)
    assert {dict(key[1:])["table"] for key in found if key[0] == "count"} == {"a", "z"}
    assert {dict(key[1:])["table"] for key in found if key[0] == "size"} == {"a", "secret", "z"}


def test_extra(database, statsd_sink):
    """More gauges by SQL: a name and a value, or one gauge with tags."""
    status, said = run(
        *("--db", database, "--schema", "public", "--statsd-address", statsd_sink.address),
        *("--extra", "select 'my.name', 42 where 'a' like '%'", "--extra", "select 'broken'"),
        *("--extra-gauge", "select 5", "single", "One number"),
        *("--extra-gauge", "select 1.5 as value, 'a' as kind union select 2, null", "tagged", "Some numbers"),
    )
    assert status == 1
    assert said == "c2c-stats-db: --extra: select 'broken': gives 1 columns, not a name and a value\n"
    found = gauges(statsd_sink, 11)
    assert found["my.name",] == 42
    assert found["single",] == 5
    assert found["tagged", ("kind", "a")] == 1.5
    assert found["tagged",] == 2


def test_help(database, http_sink):
    """The Pushgateway is told the help of an extra gauge."""
    gauge = ("--extra-gauge", "select 5", "single", "One number")
    assert run("--db", database, "--schema", "public", "--prometheus-url", http_sink.url, *gauge)[0] == 0
    (request,) = http_sink.wait()
    assert "# HELP c2c_single One number\n" in request.body.decode()


def test_estimate(database, statsd_sink):
    """The planner's number of rows, where it has one, else that of the statistics."""
    status, _ = run("--db", database, "--schema", "public", "--estimate", "--statsd-address", statsd_sink.address)
    assert status == 0
    assert gauges(statsd_sink, 7)["count", ("schema", "public"), ("table", "plain")] == 7


def test_progress_on_a_terminal(database):
    """A bar is drawn on a terminal, and wiped away."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    err = Terminal()
    assert main(["--db", database, "--schema", "many", "--verbosity", "INFO"], err) == 0
    assert "100/200 many.t100" in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")


SENT = ["--schema", "public", "--statsd-address", "127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--db", "postgresql://x/y", "--schema", "public"], 2, "give --statsd-address, --prometheus-url or --serve"),
        (["--db", "sqlite://", *SENT], 2, "only PostgreSQL is measured"),
        (["--db", "nonsense", *SENT], 2, "--db is no URL"),
        (["--db", "nosuchdb://x/y", *SENT], 2, "nosuchdb"),
        (["--db", "postgresql://u:hidden-word@127.0.0.1:1/x", *SENT], 1, "refused"),
    ],
)
def test_bad_arguments(arguments, status, said):
    """One line that says what is wrong, without secrets."""
    found, err = run(*arguments)
    assert found == status
    assert err.count("\n") == 1
    assert said in err
    assert "hidden-word" not in err


@pytest.mark.parametrize(
    ("absent", "status"), [(["psycopg2"], 0), (["psycopg"], 0), ([], 0), (["psycopg2", "psycopg"], 2)]
)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_the_driver_that_is_there(database, statsd_sink, scheme, absent, status):
    """A URL without a driver means the one that is installed, whichever SQLAlchemy would take."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent}))\n"
        "from c2c_stats._stats_db import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    url = f"{scheme}://{database.partition('://')[2]}"
    arguments = [sys.executable, "-c", code, "--db", url, "--statsd-address", statsd_sink.address]
    done = subprocess.run(arguments, timeout=120, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1 if status else 0), done.stderr


def test_sinks_that_fail(database, statsd_sink):
    """A sink that can't be reached makes the status 1; so does a schema that is not there."""
    status, said = run("--db", database, "--schema", "public", "--prometheus-url", "http://127.0.0.1:1")
    assert status == 1
    assert "refused" in said
    status, said = run("--db", database, "--schema", "nowhere", "--statsd-address", statsd_sink.address)
    assert (status, said) == (1, "c2c-stats-db: there is no schema 'nowhere'\n")


def test_a_database_that_is_away_leaves_the_last_numbers(http_sink):
    """Nothing is pushed, because what is pushed replaces what was."""
    url = "postgresql://127.0.0.1:1/x"
    assert run("--db", url, "--schema", "public", "--prometheus-url", http_sink.url)[0] == 1
    assert http_sink.requests == []


def scraped(port):
    """Scrape as soon as there is something; return the metrics by name."""
    for _ in range(600):
        with contextlib.suppress(requests.ConnectionError):
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
            return {family.name: family for family in text_string_to_metric_families(text)}
        time.sleep(0.1)
    raise AssertionError("nothing is served")


@pytest.mark.parametrize("names", ["c2c", "c2cwsgiutils6"])
def test_one_scrape(database, monkeypatch, names):
    """With --serve the numbers wait for a scrape, under the names of either, and then the command ends."""
    monkeypatch.setenv("C2C_PROMETHEUS_NAMES", names)
    port = str(free_port())
    extra = ["--extra", "SELECT 'rain', 3", "--extra-gauge", "SELECT 'x' AS kind, 4", "flow", "How much"]
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(run, "--db", database, "--schema", "public", "--serve", port, *extra)
        requests_of_others(port)
        found = scraped(port)
        assert ended.result(60) == (0, "")
    of_table = {"schema": "public", "table": "plain"}
    wanted = {
        "c2c": {"c2c_count": (of_table, 7), "c2c_rain": ({}, 3), "c2c_flow": ({"kind": "x"}, 4)},
        "c2cwsgiutils6": {
            "c2cwsgiutils_database_table_count": (of_table, 7),
            "c2cwsgiutils_database_extra": ({"metric": "rain"}, 3),
            "c2cwsgiutils_database_flow": ({"metric": "x"}, 4),
        },
    }[names]
    shown = {name: (found[name].samples[0].labels, found[name].samples[0].value) for name in wanted}
    assert shown == wanted


def requests_of_others(port):
    """Connect and say nothing, or ask for something else than a scrape: the numbers stay."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=5):
            break
        time.sleep(0.1)
    requests.head(f"http://127.0.0.1:{port}/metrics", timeout=30)


def test_several_tries(database):
    """What fails is tried again, and the status is that of the last try; meanwhile nothing is served."""
    again = ["--tries", "3", "--pause", "0.01", "--serve", str(free_port())]
    status, said = run("--db", database, "--schema", "nowhere", *again)
    assert (status, said) == (1, "c2c-stats-db: there is no schema 'nowhere'\n" * 3)


@pytest.mark.parametrize(
    "arguments",
    [["--serve", "x"], ["--serve", "70000"], ["--tries", "0"], ["--pause", "soon"], ["--statsd-address", "nowhere"]],
)
def test_arguments_that_can_not_be_read(database, arguments, capsys):
    """Are a line, and status 2."""
    with pytest.raises(SystemExit) as caught:
        run("--db", database, *arguments)
    assert caught.value.code == 2
    assert arguments[1] in capsys.readouterr().err
