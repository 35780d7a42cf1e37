"""The spy on SQLAlchemy, with SQLite and with PostgreSQL."""

import pytest
from pyramid.request import Request
from sqlalchemy import Engine, create_engine, event, insert, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import c2c_stats as stats
from c2c_stats._sink import SINK
from c2c_stats._spies import sqlalchemy as spy

EARLY = create_engine("sqlite://")


class Base(DeclarativeBase):
    """Models."""


class Thing(Base):
    """A table."""

    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture(autouse=True, scope="module")
def _closed_at_last():
    """Close the connection of the engine that is made at the import."""
    yield
    EARLY.dispose()


@pytest.fixture
def queries():
    """Turn recording on; give a function that returns simplified statement -> how often."""
    stats.init_backends({"c2c.stats_view": "true"})
    return lambda: {
        key.removeprefix("sql/"): int(one[0]) for key, one in stats.BACKENDS["memory"].snapshot()["timers"].items()
    }


def test_engines_before_and_after(queries, new_engine):
    """An engine made before the configuration is watched as one made after it."""
    for engine in (EARLY, new_engine()):
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            connection.exec_driver_sql("SELECT 2")
    assert queries() == {"SELECT ?": 4, "commit": 2}


def test_orm_session(queries, new_engine):
    """What a session does: inserts, also many at once, updates and commits."""
    engine = new_engine()
    factory = sessionmaker(engine)
    Base.metadata.create_all(engine)
    with factory() as session:
        session.add_all(Thing(name=str(i)) for i in range(5))
        session.commit()
        session.execute(insert(Thing), [{"name": "a"}, {"name": "b"}])
        session.get(Thing, 1).name = "new"
        session.commit()
    found = queries()
    # One or many at a time, as this version of SQLAlchemy likes.
    assert found["INSERT INTO things"] >= 2
    assert found["UPDATE things SET WHERE things.id = ?"] == 1
    assert found["commit"] == 3


def test_failures_are_timed(queries):
    """A statement that fails took time too, and its error goes on its way."""
    with EARLY.connect() as connection, pytest.raises(DatabaseError):
        connection.execute(text("SELECT nothing FROM nowhere"))
    assert queries() == {"SELECT FROM nowhere": 1}


def test_statements_within_statements(queries, new_engine):
    """A statement that a listener of a statement executes is one of its own."""
    engine = new_engine()
    asked = []

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection, cursor, statement, parameters, context, many):
        if not asked:
            asked.append(True)
            connection.exec_driver_sql("SELECT 'inner'")

    with engine.connect() as connection:
        connection.execute(text("SELECT 'outer' FROM (SELECT 1)"))
    assert queries() == {"SELECT ?": 1, "SELECT FROM (SELECT ?)": 1}


def test_other_listeners_have_their_turn(queries, new_engine):
    """Listeners of the same event, set after ours, are called; one that executes for us does."""
    engine = new_engine()
    seen = []

    @event.listens_for(engine, "do_execute")
    def other(cursor, statement, parameters, context):
        seen.append(statement)
        cursor.execute("SELECT 42")
        return True

    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 42
    assert seen == ["SELECT 1"]
    assert queries() == {"SELECT ?": 1}


@pytest.mark.parametrize("before", [True, False])
def test_other_listeners_have_one_turn(queries, new_engine, before):
    """A listener from before ours, or after it, is called once a statement; one that handles it is obeyed."""
    calls = []

    def audit(cursor, statement, parameters, context):
        calls.append(statement)

    def handles(cursor, statement, parameters, context):
        cursor.execute("SELECT 42")
        return True

    if before:
        event.remove(Engine, "do_execute", spy._LISTENERS["do_execute"])
        event.listen(Engine, "do_execute", audit)
        spy.install()
    else:
        event.listen(Engine, "do_execute", audit)
    engine = new_engine()
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        assert calls == ["SELECT 1"]
        event.listen(engine, "do_execute", handles)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 2")).scalar() == 42
        assert calls == ["SELECT 1", "SELECT 2"]
    finally:
        event.remove(Engine, "do_execute", audit)


def test_totals_of_a_request(make_app):
    """Statements are added up for the request that asked for them, those of a sub-request for both."""

    def ask(times):
        with EARLY.begin() as connection:
            for _ in range(times):
                connection.execute(text("SELECT 1"))

    def outer(request):
        ask(2)
        inner = request.invoke_subrequest(Request.blank("/inner"), use_tweens=True)
        return {"inner": inner.headers["Server-Timing"]}

    def configure(config):
        for name, view in (("outer", outer), ("inner", lambda _: ask(1))):
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name, renderer="json")

    app = make_app(configure)
    for _ in range(2):
        answer = app.get("/outer")
        assert '"3 queries"' in answer.headers["Server-Timing"]
        assert '"1 query"' in answer.json["inner"]
    ask(1)
    assert '"1 query"' in app.get("/inner").headers["Server-Timing"]


def test_install_twice(queries):
    """Installing twice watches once."""
    spy.install()
    spy.install()
    with EARLY.begin() as connection:
        connection.execute(text("SELECT 1"))
    assert queries() == {"SELECT ?": 1, "commit": 1}


def test_no_listener_is_added_by_use(queries, new_engine):
    """2,000 statements, engines and sessions later there are as many listeners as before."""

    def listeners():
        return [len(getattr(EARLY.dialect.dispatch, name)) for name in spy._LISTENERS]

    before = listeners()
    for _ in range(10):
        engine = new_engine()
        with Session(engine) as session:
            for _ in range(200):
                session.execute(text("SELECT 1"))
            session.commit()
    assert listeners() == before == [1, 1, 1]
    assert queries() == {"SELECT ?": 2000, "commit": 10}


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_postgresql(queries, postgres, driver):
    """With PostgreSQL, by both drivers: parameters of each style, many at once, a failure."""
    engine = create_engine(postgres.url.replace("postgresql://", f"postgresql+{driver}://"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE t (a int, b text)"))
        connection.execute(text("INSERT INTO t VALUES (:a, :b)"), [{"a": i, "b": str(i)} for i in range(3)])
        assert connection.execute(text("SELECT b FROM t WHERE a = :a AND b LIKE '%'"), {"a": 2}).scalar() == "2"
    with engine.connect() as connection, pytest.raises(DatabaseError):
        connection.execute(text("SELECT 1/0"))
    engine.dispose()
    found = queries()
    assert found["INSERT INTO t VALUES"] == 1
    assert found["commit"] == 1
    assert found["SELECT ?_?"] == 1
    (query,) = [key for key in found if key.startswith("SELECT FROM t WHERE a = ?")]
    assert "2" not in query


def test_engines_by_name():
    """With the names of c2cwsgiutils 6 Prometheus has the engine of a statement and of its commit; statsd does not."""
    stats.init_backends({"c2c.stats_view": "true", "c2c.prometheus_names": "c2cwsgiutils6"})
    for name in ("ro", None):
        engine = create_engine("sqlite://")
        if name:
            engine.c2c_name = name
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    labels = {one.identity.labels for one in SINK.all() if one.identity.name == ("sql",)}
    assert labels == {
        (("engine", engine), ("query", query)) for engine in ("ro", "None") for query in ("SELECT ?", "commit")
    }
    assert set(stats.BACKENDS["memory"].snapshot()["timers"]) == {"sql/SELECT ?", "sql/commit"}
