"""Database checks, against real PostgreSQL servers."""

import threading
import time

import pytest
import transaction
from pyramid.threadlocal import get_current_request
from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from c2c_broadcast import ConfigurationError


class Base(DeclarativeBase):
    """The base of the model."""


class Hello(Base):
    """A table."""

    __tablename__ = "hello"
    id: Mapped[int] = mapped_column(primary_key=True)


def _engine(server, name=None, **options):
    url = server.url.replace("postgresql://", "postgresql+psycopg2://")
    return create_engine(url, logging_name=name, connect_args={"connect_timeout": 5}, **options)


@pytest.fixture
def both(postgres_pair):
    """Give a session with a primary's and a replica's engine, as c2c-db makes it, and a table with a row."""
    primary = _engine(postgres_pair.primary, "sqlalchemy")
    replica = _engine(postgres_pair.replica, "sqlalchemy_slave")
    Base.metadata.create_all(primary)
    with primary.begin() as connection:
        connection.execute(text("INSERT INTO hello VALUES (1) ON CONFLICT DO NOTHING"))
    postgres_pair.wait_caught_up()
    session = scoped_session(sessionmaker(primary))
    session.c2c_rw_bind, session.c2c_ro_bind = primary, replica
    yield session
    postgres_pair.restore()
    with primary.begin() as connection:
        connection.execute(text("TRUNCATE hello"))
    postgres_pair.wait_caught_up()
    primary.dispose()
    replica.dispose()


def test_each_engine_has_a_check(service, both):
    """Named after the engine; nothing else in it."""
    made = service()
    made.health.add_db_session_check(both, at_least_one_model=Hello)
    found = made.get().json["successes"]
    assert set(found) == {"db_engine_sqlalchemy", "db_engine_sqlalchemy_slave"}
    assert all(set(entry) == {"timing", "level"} for entry in found.values())


def test_an_empty_table(service, both):
    """Fails with the model's name."""
    made = service()
    made.health.add_db_session_check(both, at_least_one_model=Hello)
    with both.c2c_rw_bind.begin() as connection:
        connection.execute(text("DELETE FROM hello"))
    failures = made.get(status=500).json["failures"]
    assert failures["db_engine_sqlalchemy"]["message"] == "Hello record not found"


def test_a_query_of_ones_own(service, both):
    """It gets a session on each engine in turn; its result is the check's; the session is closed after it."""
    made, sessions = service(), []

    def query(session):
        sessions.append(session)
        return {"standby": session.execute(text("SELECT pg_is_in_recovery()")).scalar_one()}

    made.health.add_db_session_check(both, query_cb=query, level=2)
    found = made.get("/health_check?max_level=2").json["successes"]
    assert found["db_engine_sqlalchemy"]["result"] == {"standby": False}
    assert found["db_engine_sqlalchemy_slave"]["result"] == {"standby": True}
    assert sessions[0] is not sessions[1]
    assert not any(session.in_transaction() for session in sessions)


def test_one_engine_is_one_check(service, both):
    """Where the replica is the primary."""
    made = service()
    both.c2c_ro_bind = both.c2c_rw_bind
    made.health.add_db_session_check(both)
    assert list(made.get().json["successes"]) == ["db_engine_sqlalchemy"]


def test_several_replicas(service, both, postgres_pair):
    """Those after the first have a number."""
    made = service()
    both.c2c_ro_binds = (both.c2c_ro_bind, _engine(postgres_pair.replica, "sqlalchemy_slave"))
    made.health.add_db_session_check(both)
    found = made.get().json["successes"]
    assert list(found) == ["db_engine_sqlalchemy", "db_engine_sqlalchemy_slave", "db_engine_sqlalchemy_slave_2"]
    both.c2c_ro_binds[1].dispose()


def test_several_replicas_with_own_names(service, both, postgres_pair):
    """As c2c-db names their engines: the checks' names are those, and nothing is added."""
    made = service()
    both.c2c_ro_binds = tuple(_engine(postgres_pair.replica, f"sqlalchemy_slave_{number}") for number in (1, 2))
    made.health.add_db_session_check(both)
    found = made.get().json["successes"]
    assert list(found) == ["db_engine_sqlalchemy", "db_engine_sqlalchemy_slave_1", "db_engine_sqlalchemy_slave_2"]
    for engine in both.c2c_ro_binds:
        engine.dispose()


def test_a_query_and_a_model(service, both):
    """Both count: the query's result where there is a row, a failure where there is none."""
    made = service()
    made.health.add_db_session_check(both, lambda session: session.scalar(text("SELECT 42")), Hello)
    assert made.get().json["successes"]["db_engine_sqlalchemy"]["result"] == 42
    with both.c2c_rw_bind.begin() as connection:
        connection.execute(text("DELETE FROM hello"))
    failures = made.get(status=500).json["failures"]
    assert failures["db_engine_sqlalchemy"]["message"] == "Hello record not found"


def test_only_the_server_that_is_away_is_red(service, both, postgres_pair, redis_server, http_sink):
    """Primary, replica, Redis and a URL, killed, paused and restored while probing."""
    made = service()
    made.health.add_db_session_check(both, timeout=3)
    made.health.add_redis_check(redis_server.url, name="redis", timeout=3)
    made.health.add_url_check(http_sink.url, name="url", timeout=3)
    made.health.add_custom_check("other", lambda request: None)
    names = {
        postgres_pair.primary: "db_engine_sqlalchemy",
        postgres_pair.replica: "db_engine_sqlalchemy_slave",
        redis_server: "redis",
        http_sink: "url",
    }
    everything = {*names.values(), "other"}
    for server, name in names.items():
        assert set(made.get().json["successes"]) == everything
        with server.down():
            assert set(made.get(status=500).json["failures"]) == {name}
            assert set(made.get(status=500).json["failures"]) == {name}
        # Connections that died in the pool don't make it red again.
        assert set(made.get().json["successes"]) == everything
        if server is http_sink:
            continue
        with server.paused():
            assert set(made.get(status=500).json["failures"]) == {name}
        _wait(lambda: set(made.get(status="*").json["successes"]) == everything)


def test_a_replica_that_is_away_decides_nothing(service, both, postgres_pair):
    """Where its reads go to the primary: level 1 and ready are 200 and degraded, at once; level 2 is red."""
    made = service()
    both.c2c_ro_bind.c2c_fails_over = True
    made.health.add_db_session_check(both)
    name = "db_engine_sqlalchemy_slave"
    assert made.get().json["successes"][name].keys() == {"timing", "level"}
    for away in (postgres_pair.replica.down, postgres_pair.replica.paused):
        with away():
            for path in ("/health_check", "/health/ready"):
                begun = time.monotonic()
                assert name not in made.get(path).json.get("failures")
                assert time.monotonic() - begun < 4  # its own time-out is 5
            _wait(lambda: made.get().json["successes"][name].get("outcome") == "degraded")
            for path in ("/health_check", "/health/ready"):
                entry = made.get(path).json["successes"][name]
                assert entry["outcome"] == "degraded"
                assert entry["message"]
            assert set(made.get("/health_check?max_level=2", status=500).json["failures"]) == {name}
            assert set(made.get(f"/health_check?checks={name}", status=500).json["failures"]) == {name}
        _wait(lambda: "outcome" not in made.get().json["successes"][name])


def test_a_replica_that_hangs_from_the_start_is_degraded(service, both, postgres_pair):
    """The first report has no run to tell of: it does not wait for one, and does not call it well."""
    made = service()
    both.c2c_ro_bind.c2c_fails_over = True
    made.health.add_db_session_check(both)
    assert made.app
    with postgres_pair.replica.paused():
        entry = made.get().json["successes"]["db_engine_sqlalchemy_slave"]
        assert entry["outcome"] == "degraded"
        assert "no answer" in entry["message"]


@pytest.mark.parametrize(("fails_over", "settings"), [(False, {}), (True, {"c2c.health.replica_required": "true"})])
def test_a_replica_that_is_needed_is_red_at_its_level(service, both, postgres_pair, fails_over, settings):
    """Where reads fail without it, or the settings want it so."""
    made = service(**settings)
    both.c2c_ro_bind.c2c_fails_over = fails_over
    made.health.add_db_session_check(both)
    with postgres_pair.replica.down():
        assert set(made.get(status=500).json["failures"]) == {"db_engine_sqlalchemy_slave"}
        assert set(made.get("/health/ready", status=500).json["failures"]) == {"db_engine_sqlalchemy_slave"}


def _wait(done):
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_connections_are_given_back(service, both):
    """After a thousand runs, of which some fail, no connection is out."""
    made, count = service(), iter(range(10_000))

    def query(session):
        session.execute(text("SELECT 1"))
        both().execute(text("SELECT 1"))  # the application's session, in a check's thread
        if next(count) % 3 == 0:
            raise ValueError("every now and then")

    made.health.add_db_session_check(both, query_cb=query)
    assert made.app
    for _ in range(500):
        made.checks.report(None, (), None)
    for engine in (both.c2c_rw_bind, both.c2c_ro_bind):
        _wait(lambda pool=engine.pool: pool.checkedout() == 0)
        assert engine.pool.checkedin() <= 5


def test_an_exhausted_pool_is_red_in_time(service, postgres):
    """When the service has all connections, the check says so at its deadline."""
    engine = _engine(postgres, pool_size=1, max_overflow=0)
    made = service()
    made.health.add_db_session_check(sessionmaker(engine), timeout=0.5)
    with engine.connect():
        [failure] = made.get(status=500).json["failures"].values()
        assert failure["message"] == "timed out after 0.5 s"
    _wait(lambda: made.get(status="*").json["failures"] == {})
    engine.dispose()


def test_a_transaction_that_zope_manages_ends(service):
    """What a check's thread began with the package ``transaction`` is aborted after it."""
    made, seen = service(), []

    def begin(request):
        seen.append((threading.get_ident(), transaction.get()))

    made.health.add_custom_check("begins", begin)
    made.get()
    made.get()
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] is not seen[1][1]


def test_the_manager_of_a_request_that_no_client_sent(service):
    """Is this thread's, which is ended after the check; that of a client's request is left as it is."""
    made, seen = service(), []
    explicit = transaction.TransactionManager(explicit=True)
    made.config.add_request_method(lambda request: explicit, "tm", reify=True)
    made.health.add_custom_check("asks", lambda request: seen.append(request.tm))
    assert made.health.report()["failures"] == {}
    assert seen == [transaction.manager]
    made.health.add_custom_check("manager", lambda request: request.tm is explicit)
    assert made.get("/health_check?checks=manager").json["successes"]["manager"]["result"] is True


def test_a_session_of_the_request_is_left_alone(service, postgres):
    """A scoped_session by request is the request's: a check in another thread does not close it."""
    engine = _engine(postgres)
    by_request = scoped_session(sessionmaker(engine), scopefunc=get_current_request)
    made, states = service(), []

    def view(request):
        by_request().execute(text("SELECT 1"))
        request.registry["health_check"].report(None, (), request)
        states.append(by_request().in_transaction())
        by_request.remove()
        return request.response

    made.config.add_route("view", "/view")
    made.config.add_view(view, route_name="view")
    made.health.add_db_session_check(by_request)
    made.app.get("/view")
    assert states == [True]
    engine.dispose()


@pytest.mark.parametrize("make", [Session, sessionmaker, lambda engine: scoped_session(sessionmaker(engine))])
def test_sessions_of_all_kinds(service, postgres, make):
    """A session, a factory, a scoped one; asking a scoped one makes no session."""
    engine, made = _engine(postgres, "mine"), service()
    session = make(engine)
    made.health.add_db_session_check(session)
    assert list(made.get().json["successes"]) == ["db_engine_mine"]
    assert not getattr(getattr(session, "registry", None), "has", lambda: False)()
    engine.dispose()


def test_a_session_without_an_engine_stops_the_start_up(service):
    """The remedy is in the message."""
    with pytest.raises(ConfigurationError, match="a session with an engine"):
        service().health.add_db_session_check(sessionmaker())


def test_two_sessions_of_one_name_stop_the_start_up(service, postgres):
    """Give the engines names."""
    made = service()
    made.health.add_db_session_check(sessionmaker(_engine(postgres)))
    with pytest.raises(ConfigurationError, match="db_engine_sqlalchemy"):
        made.health.add_db_session_check(sessionmaker(_engine(postgres)))
