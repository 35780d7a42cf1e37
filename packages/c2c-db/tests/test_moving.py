"""Reads that go on elsewhere within their transaction, and those that may not."""

import contextlib
import gc
import logging
import threading

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from c2c_db import State, init, setup_session, use_replica


def test_pool_exhausted(pair, urls, notes, new_service):
    """With all connections to the replica in use, a read goes to the primary; with those in use too, it is a 503."""
    sizes = {
        f"{side}.{key}": value
        for side in ("sqlalchemy", "sqlalchemy_slave")
        for key, value in {"pool_size": "1", "max_overflow": "0", "pool_timeout": "1"}.items()
    }
    service = new_service(notes, **urls(**sizes))
    [primary, replica] = service.database.engines
    with replica.connect():
        assert service.app.get("/notes").json["server"] == "primary"
        assert service.decisions["sqlalchemy", "pool exhausted"] == 1
        assert service.replica_state is State.USABLE
        with primary.connect():
            answer = service.app.get("/notes", status=503)
            assert "in use" in answer.json["message"]
            service.app.post("/notes", status=503)
    assert service.app.get("/notes").json["server"] == "replica"


def test_recovery_conflict(pair, urls, new_service, until):
    """A read that the replica cancels because of what it replays (40001) is done again on the primary."""
    seen = []

    def set_up(config):
        session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
        seen.append(session)

    service = new_service(set_up, **urls())
    [session] = seen
    pair.replica.set(max_standby_streaming_delay="50ms")
    pair.primary.execute("INSERT INTO note (text) SELECT 'x' FROM generate_series(1, 100)")
    pair.wait_caught_up()

    def truncate():
        asleep = "SELECT true FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: pair.replica.execute(asleep))
        pair.primary.execute("TRUNCATE note")  # its lock, replayed, conflicts with the long read

    thread = threading.Thread(target=truncate)
    thread.start()
    try:
        with use_replica():
            sleep = "CASE WHEN pg_is_in_recovery() THEN pg_sleep(60) END"
            statement = text(f"SELECT pg_is_in_recovery(), {sleep} FROM (SELECT count(*) FROM note) AS notes")
            assert session.execute(statement).scalar() is False
    finally:
        thread.join()
        session.remove()
        pair.replica.set(max_standby_streaming_delay=None)
    assert service.decisions["sqlalchemy", "recovery conflict"] == 1


def test_stateful_transactions_do_not_move(pair, urls, new_service):
    """After SET LOCAL a transaction does not go on elsewhere without it: the error is raised."""
    seen = []
    service = new_service(
        lambda config: seen.append(setup_session(config, "sqlalchemy", "sqlalchemy_slave")[0]), **urls()
    )
    [session] = seen
    with use_replica():
        session.execute(text("SET LOCAL application_name = 'tenant 5'"))
        pair.kill_replica()
        with pytest.raises(OperationalError):
            session.execute(text("SELECT count(*) FROM note"))
        session.remove()
        assert session.execute(text("SELECT pg_is_in_recovery()")).scalar() is False
        session.remove()
    assert service.replica_state in {State.OFFLINE, State.UNKNOWN}


def test_reads_move_within_the_transaction(pair, urls, new_service):
    """After plain reads the replica dies: the next read is the primary's, and the objects read before stay usable."""
    seen = []
    new_service(lambda config: seen.append(setup_session(config, "sqlalchemy", "sqlalchemy_slave")[0]), **urls())
    [session] = seen
    with use_replica():
        assert session.execute(text("SELECT count(*) FROM note")).scalar() == 0
        pair.kill_replica()
        assert session.execute(text("SELECT pg_is_in_recovery()")).scalar() is False
        session.remove()


@pytest.mark.parametrize("enforced", ["true", "false"])
def test_a_request_that_moved_is_answered(pair, urls, new_service, driver, enforced):
    """A read by a pooled connection to a replica that died is done elsewhere; its transaction ends as any other."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("read", "/read")
        sql = text(
            "SELECT count(*) FROM note WHERE text = :text" + (" AND length(md5(text)) = 32" * (enforced == "true"))
        )
        config.add_view(
            lambda request: request.dbsession.execute(sql, {"text": "x"}).scalar(), route_name="read", renderer="json"
        )

    service = new_service(set_up, **urls(driver), **{"c2c.db.enforce_readonly": enforced})
    assert service.app.get("/read").json == 0
    pair.kill_replica()
    for _ in range(3):
        assert service.app.get("/read").json == 0
    assert sum(count for (engine, _), count in service.decisions.items() if engine == "sqlalchemy") >= 3


def test_a_position_is_awaited_from_a_replica_that_hangs(pair, urls, notes, new_service, caplog):
    """Who waits for a position on a replica that stops meanwhile is answered by the primary, without a traceback."""
    service = new_service(notes, **urls())
    service.app.get("/notes")
    service.app.post("/notes")
    [replica] = service.database.replicas.all
    beside = replica.beside

    def hang(connection):
        pair.replica.pause()
        return beside(connection)

    replica.beside = hang
    replica.replayed = 0
    try:
        assert service.app.get("/notes").json == {"count": 1, "server": "primary"}
    finally:
        pair.replica.resume()
    assert not [record for record in caplog.records if record.exc_info]


def test_a_connection_that_dies_after_it_was_asked(pair, urls, notes, new_service, driver, caplog):
    """A connection that told its position and is cut before it is back in the pool is no error, and no traceback."""
    service = new_service(notes, **urls(driver))
    service.app.get("/notes")
    service.app.post("/notes")
    pair.wait_caught_up()
    [replica] = service.database.replicas.all
    beside, cut = replica.beside, []

    @contextlib.contextmanager
    def asked(connection):
        with beside(connection) as raw:
            yield raw
        cut.append(raw.info.backend_pid)
        assert pair.replica.execute("SELECT pg_terminate_backend(%s, 5000)", cut) == [(True,)]

    replica.beside = asked
    replica.replayed = 0
    assert service.app.get("/notes").json["count"] == 1
    assert len(cut) == 1
    assert not [record for record in caplog.records if record.levelno > logging.WARNING or record.exc_info]


def test_what_may_have_written_does_not_move(pair, urls, new_service):
    """In a session of the replica side that may write, a function may have written: the error is raised."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def read(request):
            request.dbsession.execute(text("SELECT md5('x') FROM note"))
            if "fail" in request.params:
                pair.kill_replica()
            return request.dbsession.execute(text("SELECT count(*) FROM note")).scalar()

        config.add_route("read", "/read")
        config.add_view(read, route_name="read", renderer="json")

    service = new_service(set_up, **urls(), **{"c2c.db.enforce_readonly": "false", "c2c.db.replica_kind": "any"})
    assert service.app.get("/read").json == 0
    service.app.get("/read?fail", status=503)
    assert service.app.get("/read").json == 0


def _cut_after(pair, session, statement):
    """Have the connection cut once, between a statement's execute and its first fetch."""
    cut = []

    def executed(connection, _cursor, sql, *_more):
        if statement in sql and not cut:
            cut.append(connection.connection.dbapi_connection.info.backend_pid)
            assert pair.replica.execute("SELECT pg_terminate_backend(%s, 5000)", cut) == [(True,)]

    event.listen(session.c2c_ro_bind, "after_cursor_execute", executed)
    return cut


_STREAMED = {"stream_results": True}
# psycopg has it that a cursor of a connection that was cut wants closing.
_LEFT_CURSOR = "ignore:.*ServerCursor:ResourceWarning"


@pytest.mark.filterwarnings(_LEFT_CURSOR)
@pytest.mark.parametrize("tenant", ["set_config('c2c.tenant', 'five', true)", "'' FROM note"])
def test_a_fetch_that_fails(pair, urls, new_service, driver, tenant):
    """A read that is cut between execute and fetch is asked again elsewhere: what it sets, it sets there."""
    seen = []
    new_service(lambda config: seen.append(setup_session(config, "sqlalchemy", "sqlalchemy_slave")[0]), **urls(driver))
    [session] = seen
    pair.primary.execute("INSERT INTO note (text) VALUES ('x')")
    pair.wait_caught_up()
    cut = _cut_after(pair, session, tenant)
    with use_replica():
        assert session.scalar(text("SELECT count(*) FROM note")) == 1
        sql = text(f"SELECT pg_backend_pid() || ' ' || {tenant}")
        pid, _, found = session.scalar(sql, execution_options=_STREAMED).partition(" ")
        assert found == ("five" if "five" in tenant else "")
        assert cut not in ([], [int(pid)])
        left = session.scalar(text("SELECT current_setting('c2c.tenant', true)"))
        assert (left == "five") == ("five" in tenant)
        # What it set counts for what follows, which is not asked elsewhere without it.
        for server in (pair.primary, pair.replica):
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s", [int(pid)])
        if "five" in tenant:
            with pytest.raises(OperationalError):
                session.scalar(text("SELECT count(*) FROM note"))
        else:
            assert session.scalar(text("SELECT count(*) FROM note")) == 1
        session.remove()
    gc.collect()


@pytest.mark.filterwarnings(_LEFT_CURSOR)
@pytest.mark.parametrize("before", ["SET LOCAL c2c.tenant = 'five'", "SELECT md5('x') FROM note"])
def test_a_fetch_that_fails_after_what_counts(pair, urls, new_service, driver, before):
    """It is not where something came before that the other server does not know, or that may have been a write."""
    seen = []
    more = {"c2c.db.enforce_readonly": "false", "c2c.db.replica_kind": "any"} if "md5" in before else {}
    new_service(
        lambda config: seen.append(setup_session(config, "sqlalchemy", "sqlalchemy_slave")[0]), **urls(driver, **more)
    )
    [session] = seen
    cut = _cut_after(pair, session, "count")
    with use_replica():
        session.execute(text(before))
        with pytest.raises(OperationalError):
            session.scalar(text("SELECT count(*) FROM note"), execution_options=_STREAMED)
        assert len(cut) == 1
        session.remove()
    gc.collect()


def test_what_another_bind_wrote_does_not_move(pair, urls, new_service):
    """Where a session has used an engine of the application's own, its replica's death is an error: nothing is lost."""
    seen = []
    new_service(lambda config: seen.append(setup_session(config, "sqlalchemy", "sqlalchemy_slave")[0]), **urls())
    [session] = seen
    engine = create_engine(pair.primary.url)
    with use_replica():
        session.execute(text("SELECT count(*) FROM note"))
        session.execute(text("INSERT INTO note (text) VALUES ('x')"), bind_arguments={"bind": engine})
        pair.kill_replica()
        with pytest.raises(OperationalError):
            session.execute(text("SELECT count(*) FROM note"))
        session.remove()
    engine.dispose()
