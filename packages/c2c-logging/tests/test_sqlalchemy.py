"""The request id in PostgreSQL: ``application_name`` as long as a transaction lasts, read back in the server's log."""

import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from c2c_logging import _sql_ids, run_in_context

ON = {"c2c.sql_request_id": "true"}
NAME = sa.text("SELECT current_setting('application_name')")


@pytest.fixture(params=["psycopg2", "psycopg"])
def url(postgres, request):
    """The URL of the real server, for each driver."""
    return postgres.url.replace("postgresql://", f"postgresql+{request.param}://")


@pytest.fixture
def engine(url):
    """An engine with a pool of one connection, made before the package is included."""
    engine = sa.create_engine(url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def untagged():
    """Each test begins and ends without the listener."""
    yield
    if sa.event.contains(Engine, "begin", _sql_ids._tag):
        sa.event.remove(Engine, "begin", _sql_ids._tag)


def name_in(connection):
    """Return what the server says the session's name is."""
    return connection.execute(NAME).scalar()


def test_the_id_is_in_the_servers_log(make_app, postgres, engine):
    """With ``log_line_prefix = '%a '`` each statement of a request shows its id."""
    request_id = f"42 is the answer {uuid.uuid4().hex[:8]}"
    marker = f"SELECT 'marker-{uuid.uuid4().hex}'"
    postgres.set(log_line_prefix="%a ", log_statement="all")

    def view(request):
        with Session(engine) as session:
            session.execute(sa.text(marker))
            session.commit()
        return {}

    try:
        make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": request_id})
    finally:
        postgres.set(log_line_prefix=None, log_statement=None)
    (line,) = (line for line in postgres.log_text().splitlines() if marker in line)
    assert line.startswith(request_id)


def test_it_is_given_back_clean(make_app, engine):
    """After the transaction, committed or not, the connection in the pool has its own name again."""

    def view(request):
        names = []
        for end in ("commit", "rollback"):
            with engine.connect() as connection:
                names.append(name_in(connection))
                getattr(connection, end)()
        return names

    with engine.connect() as connection:
        own = name_in(connection)
    answer = make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": "mine"})
    assert answer.json == ["mine", "mine"]
    with engine.connect() as connection:
        assert name_in(connection) == own != "mine"


def test_engines_made_later_carry_it_too(make_app, url):
    """The order of including and making the engine does not matter."""
    app = make_app(lambda request: {"name": with_new_engine()}, **ON)

    def with_new_engine():
        engine = sa.create_engine(url)
        try:
            with engine.begin() as connection:
                return name_in(connection)
        finally:
            engine.dispose()

    assert app.get("/hello/a", headers={"X-Request-ID": "mine"}).json == {"name": "mine"}


def test_the_application_may_begin_with_set_transaction(make_app, engine):
    """It must come before any query: the statement that carries the id is none."""

    def view(request):
        with engine.begin() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE"))
            level = connection.execute(sa.text("SHOW transaction_isolation")).scalar()
            return [level, name_in(connection)]

    answer = make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": "mine"})
    assert answer.json == ["serializable", "mine"]


def test_it_is_one_statement(make_app, engine):
    """A transaction costs one statement more, whatever its length, and SQLAlchemy's listeners do not see it."""
    seen = []
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))

    def view(request):
        with engine.begin() as connection:
            for _ in range(3):
                name_in(connection)
        return {}

    make_app(view, **ON).get("/hello/a")
    assert seen == [str(NAME)] * 3


def test_off_by_default(make_app, engine):
    """Without the setting nothing is listened to."""

    def view(request):
        with engine.begin() as connection:
            return name_in(connection)

    assert make_app(view).get("/hello/a", headers={"X-Request-ID": "mine"}).json != "mine"


def test_outside_of_a_request_the_name_is_the_sessions_own(make_app, engine):
    """Scripts and start-up are nobody's request."""
    make_app(**ON)
    with engine.begin() as connection:
        assert name_in(connection) == ""


def test_threads_carry_it(make_app, engine):
    """``run_in_context`` is enough."""

    def view(request):
        import threading

        found = []

        def work():
            with engine.begin() as connection:
                found.append(name_in(connection))

        thread = threading.Thread(target=run_in_context(work))
        thread.start()
        thread.join()
        return found

    assert make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": "mine"}).json == ["mine"]


def test_an_id_is_no_sql(make_app, engine):
    """What is left of an injection is a name."""

    def view(request):
        with engine.begin() as connection:
            return name_in(connection)

    answer = make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": "'; DROP TABLE x; -- %s :a $1"})
    assert answer.json == "DROP TABLE x --  s :a 1".replace("--  s", "-- s")


def test_autocommit_is_left_alone(make_app, engine):
    """Where nothing is a transaction, nothing is said."""

    def view(request):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return name_in(connection)

    assert make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": "mine"}).json == ""


def test_other_databases_are_left_alone(make_app):
    """SQLite has no such name."""

    def view(request):
        engine = sa.create_engine("sqlite://")
        with engine.begin() as connection:
            found = connection.execute(sa.text("SELECT 1")).scalar()
        engine.dispose()
        return found

    assert make_app(view, **ON).get("/hello/a").json == 1


def test_a_lost_connection_is_sqlalchemys_matter(make_app, engine, postgres):
    """The error is the one that SQLAlchemy raises without us, and the pool recovers."""

    def view(request):
        with engine.connect() as connection:
            pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
        postgres.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(sa.exc.OperationalError) as caught, engine.connect() as connection:
            name_in(connection)
        assert caught.value.connection_invalidated
        with engine.connect() as connection:
            return name_in(connection)

    assert make_app(view, **ON).get("/hello/a", headers={"X-Request-ID": "mine"}).json == "mine"
