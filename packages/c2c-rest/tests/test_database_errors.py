"""Errors of a real PostgreSQL server, by both drivers, as they come through SQLAlchemy and pyramid_tm."""

import logging
import socket
import sqlite3

import psycopg
import psycopg2
import pytest
import sqlalchemy
import zope.sqlalchemy
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

OPERATOR = {"X-API-Key": "a secret of an operator"}
_LINK = "sqlalche.me"


def _url(server, driver):
    return sqlalchemy.make_url(server.url).set(drivername=f"postgresql+{driver}")


@pytest.fixture(params=["psycopg2", "psycopg"])
def driver(request):
    """Give the name of a driver."""
    return request.param


@pytest.fixture
def engine(postgres, driver):
    """Give an engine with a table that has a unique column checked at commit, a number and a secret."""
    engine = create_engine(_url(postgres, driver), pool_size=1, max_overflow=0, pool_timeout=0.2)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS item"))
        connection.execute(
            text(
                "CREATE TABLE item (name text NOT NULL, number int,"
                " CONSTRAINT one_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED)"
            )
        )
        connection.execute(text("INSERT INTO item VALUES ('first', 1)"))
    yield engine
    engine.dispose()


@pytest.fixture
def ask(make_app, records):
    """Give a function: an application that does something with a session in a transaction, its answer and record."""

    def ask(engine, work, headers=None):
        factory = sessionmaker(bind=engine)

        def view(request):
            session = factory()
            zope.sqlalchemy.register(session, transaction_manager=request.tm, initial_state="changed")
            work(session)
            return {}

        def configure(config):
            config.include("pyramid_tm")
            config.add_route("work", "/work")
            config.add_view(view, route_name="work", renderer="json")

        answer = make_app(configure, {"tm.manager_hook": "pyramid_tm.explicit_manager"}).get(
            "/work", headers=headers, expect_errors=True
        )
        assert answer.content_type == "application/json"
        return answer, records.only()

    return ask


def _execute(statement, **parameters):
    return lambda session: session.execute(text(statement), parameters)


def test_a_duplicate_key_at_commit_is_a_400(engine, ask):
    """A constraint that fails at commit, after the view, is a 400 that names it, without statement and link."""
    answer, record = ask(engine, _execute("INSERT INTO item (name) VALUES (:name)", name="first"))
    assert answer.status_int == 400
    assert answer.json["message"] == (
        'duplicate key value violates unique constraint "one_name"\nDETAIL: Key (name)=(first) already exists.'
    )
    assert record.levelno == logging.WARNING


@pytest.mark.parametrize(
    ("statement", "parameters", "message"),
    [
        ("INSERT INTO item (name) VALUES (NULL)", {}, 'null value in column "name"'),
        (
            "INSERT INTO item VALUES ('x', CAST(:number AS int))",
            {"number": "many"},
            "invalid input syntax for type integer",
        ),
        ("SELECT CAST(:number AS int)", {"number": "99999999999999"}, "out of range for type integer"),
        ("SELECT 1 / :number", {"number": 0}, "division by zero"),
    ],
)
def test_bad_data_is_a_400(engine, ask, statement, parameters, message):
    """What the database refuses as data is a 400; others than operators see no statement, no value, no link."""
    answer, record = ask(engine, _execute(statement, **parameters))
    assert answer.status_int == 400
    assert message in answer.json["message"]
    for hidden in ("[SQL", "parameters", _LINK, "LINE 1", "INSERT", "SELECT"):
        assert hidden not in answer.text
    assert record.levelno == logging.WARNING


def test_an_operator_sees_the_statement(engine, ask):
    """An operator reads the statement and the driver's message, and so does the log."""
    statement = "INSERT INTO item (name) VALUES (NULL)"
    answer, record = ask(engine, _execute(statement), OPERATOR)
    assert answer.status_int == 400
    assert f"[SQL: {statement}]" in answer.json["message"]
    assert statement in record.message
    assert "Traceback" in answer.json["stacktrace"]


def test_a_programming_error_is_a_500_without_the_statement(engine, ask):
    """A wrong statement is a 500, and not shown, not even the line that PostgreSQL quotes of it."""
    answer, record = ask(engine, _execute("SELECT secret_column FROM item"))
    assert answer.status_int == 500
    assert answer.json["message"] == 'column "secret_column" does not exist'
    assert record.levelno == logging.ERROR


def test_a_statement_time_out_is_a_500(engine, ask):
    """A statement that takes too long is a 500."""

    def work(session):
        session.execute(text("SET LOCAL statement_timeout = 50"))
        session.execute(text("SELECT pg_sleep(30)"))

    answer, _ = ask(engine, work)
    assert answer.status_int == 500
    assert answer.json["message"] == "canceling statement due to statement timeout"
    assert "Retry-After" not in answer.headers


def test_a_read_only_transaction_is_a_503(engine, ask):
    """A write where only reading is allowed (maintenance, a server that failed over) may succeed later."""

    def work(session):
        session.execute(text("SET TRANSACTION READ ONLY"))
        session.execute(text("DELETE FROM item"))

    answer, record = ask(engine, work)
    assert answer.status_int == 503
    assert answer.headers["Retry-After"] == "5"
    assert "read-only transaction" in answer.json["message"]
    assert record.levelno == logging.WARNING


def test_a_pool_time_out_is_a_503(engine, ask):
    """With all connections in use, a request waits as long as the pool says, then is a 503."""
    with engine.connect():
        answer, _ = ask(engine, _execute("SELECT 1"))
    assert answer.status_int == 503
    assert answer.headers["Retry-After"] == "5"
    assert "QueuePool limit" in answer.json["message"]
    assert _LINK not in answer.text


def test_a_connection_that_is_ended_is_a_503(engine, ask):
    """A connection that the administrator ends under a request is a 503."""

    def work(session):
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with psycopg2.connect(str(_url_of(engine))) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        session.execute(text("SELECT 1"))

    answer, _ = ask(engine, work)
    assert answer.status_int == 503
    assert "Retry-After" in answer.headers


def test_a_connection_time_out_is_a_503(driver, ask):
    """A server that takes the connection and then says nothing is a 503 after connect_timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+{driver}://127.0.0.1:{silent.getsockname()[1]}/x"
        engine = create_engine(url, connect_args={"connect_timeout": 2})
        answer, _ = ask(engine, _execute("SELECT 1"))
    assert answer.status_int == 503
    assert answer.headers["Retry-After"] == "5"


def _url_of(engine):
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_server_that_is_killed_is_a_503_until_it_is_back(new_postgres, driver, ask):
    """A server that dies, and is away, is a 503; once it is back the same request succeeds."""
    server = new_postgres()
    engine = create_engine(_url(server, driver), pool_timeout=5, connect_args={"connect_timeout": 5})
    work = _execute("SELECT 1")
    with engine.connect():
        pass
    server.kill()
    for _ in range(2):
        answer, record = ask(engine, work)
        assert answer.status_int == 503
        assert answer.headers["Retry-After"] == "5"
        assert record.levelno == logging.WARNING
    server.start()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


@pytest.mark.parametrize("connect", [psycopg2.connect, psycopg.connect])
def test_a_driver_without_sqlalchemy(postgres, raising, connect):
    """The drivers' own exceptions are known too: a bad value is a 400, no server a 503, a wrong statement a 500."""

    def error_of(statement, url=postgres.url):
        try:
            with connect(url) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
        except (psycopg2.Error, psycopg.Error) as error:
            return error
        raise AssertionError(statement)

    assert raising(error_of("SELECT 'x'::int")).get("/raise", status=400).json["message"].startswith("invalid input")
    raising(error_of("SELECT x")).get("/raise", status=500)
    away = error_of("SELECT 1", "postgresql://127.0.0.1:1/x?connect_timeout=2")
    assert raising(away).get("/raise", status=503).headers["Retry-After"] == "5"


def test_sqlite(tmp_path, raising):
    """SQLite's errors: a duplicate is a 400, a database that is locked or read-only a 503, a wrong statement a 500."""
    path = tmp_path / "x.db"
    first = sqlite3.connect(path)
    first.execute("CREATE TABLE item (name text PRIMARY KEY)")
    first.execute("INSERT INTO item VALUES ('first')")
    first.commit()
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.1})
    read_only = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")

    def status(statement, engine=engine):
        try:
            with engine.begin() as connection:
                connection.execute(text(statement))
        except sqlalchemy.exc.DBAPIError as error:
            return raising(error).get("/raise", expect_errors=True).status_int
        raise AssertionError(statement)

    assert status("INSERT INTO item VALUES ('first')") == 400
    assert status("SELECT nothing") == 500
    assert status("INSERT INTO item VALUES ('second')", read_only) == 503
    first.execute("BEGIN EXCLUSIVE")
    assert status("INSERT INTO item VALUES ('second')") == 503
    first.close()
    engine.dispose()
    read_only.dispose()


def test_errors_of_sqlalchemy_itself_do_not_show_statements(engine, raising):
    """A session that can't go on quotes the first error with its statement: it is cut off."""
    session = sessionmaker(bind=engine)()
    with pytest.raises(sqlalchemy.exc.DataError):
        session.execute(text("SELECT 1 / 0"))
    error = sqlalchemy.exc.PendingRollbackError(
        "This Session's transaction has been rolled back. Original exception was: (psycopg2.errors.X) boo\n"
        "[SQL: SELECT 1 / 0]\n(Background on this error at: https://sqlalche.me/e/20/x)",
        code="7s2a",
    )
    message = raising(error).get("/raise", status=500).json["message"]
    session.close()
    assert message.endswith("(psycopg2.errors.X) boo")


def test_nothing_of_a_database_is_imported():
    """Including the package imports no SQLAlchemy and no driver."""
    import subprocess
    import sys

    code = (
        "import sys; from pyramid.config import Configurator; c = Configurator(); c.include('c2c_rest'); c.commit();"
        "print([name for name in ('sqlalchemy', 'psycopg2', 'psycopg', 'sqlite3', 'botocore') if name in sys.modules])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
