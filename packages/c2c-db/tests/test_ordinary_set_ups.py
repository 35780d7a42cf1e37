"""Set-ups that are ordinary elsewhere: listeners, AUTOCOMMIT, two phases, other drivers, bodies made while sent."""

import logging

import pytest
import transaction
import zope.sqlalchemy
from pyramid.events import NewResponse
from pyramid.response import Response
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from webtest import TestApp

from c2c_db import create_session, setup_session
from c2c_testing.servers import postgres

_INSERT = text("INSERT INTO note (text) VALUES ('x')")


def _idle_in_transaction(server, name):
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state LIKE 'idle in%%'"
    return server.execute(sql, [name])[0][0]


def _count(pair):
    return pair.primary.execute("SELECT count(*) FROM note")[0][0]


def test_what_is_documented_of_scoped_sessions(pair, urls, new_service):
    """DBSession is a scoped_session of a sessionmaker: listeners, register, configure, begin work as documented."""
    heard = []
    seen = []

    def set_up(config):
        session, rw_engine, ro_engine = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
        assert isinstance(session, scoped_session)
        assert isinstance(session.session_factory, sessionmaker)
        assert (session.c2c_rw_bind, session.c2c_ro_bind) == (rw_engine, ro_engine)
        event.listen(session, "after_begin", lambda one, _transaction, _connection: heard.append(one))
        zope.sqlalchemy.register(session)
        session.configure(autoflush=False)
        seen.append(session)
        config.add_route("x", "/x")
        config.add_view(lambda _request: session.execute(_INSERT).rowcount, route_name="x", renderer="json")

    app = new_service(set_up, **urls()).app
    assert app.post("/x").json == 1
    assert _count(pair) == 1
    assert len(heard) == 1
    assert isinstance(heard[0], Session)
    assert heard[0].autoflush is False
    [session] = seen
    session.configure(bind=session.c2c_ro_bind)  # what tests do
    assert session.scalar(text("SELECT pg_is_in_recovery()")) is True
    session.remove()


def test_what_another_bind_writes(pair, urls, new_service):
    """What a session does by an engine of the application's own is committed; its connections stay as they are."""
    with postgres() as other:
        other.execute("CREATE TABLE elsewhere (id serial PRIMARY KEY)")
        engine = create_engine(other.url, pool_size=1, max_overflow=0)

        def set_up(config):
            session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
            config.add_route("run", "/run")
            config.add_view(
                lambda request: session.execute(text(request.params["sql"]), bind_arguments={"bind": engine}).rowcount,
                route_name="run",
                renderer="json",
            )

        app = new_service(set_up, **urls()).app
        for method in ("GET", "POST"):
            assert app.request("/run?sql=SELECT+1", method=method).json == 1
            assert app.request("/run?sql=INSERT+INTO+elsewhere+DEFAULT+VALUES", method=method).json == 1
        assert other.execute("SELECT count(*) FROM elsewhere") == [(2,)]
        engine.dispose()


def test_two_applications_listen_to_their_own(tmp_path):
    """A listener of one DBSession hears nothing of another's sessions."""
    heard = []
    sessions = [create_session(None, name, f"sqlite:///{tmp_path}/{name}") for name in ("one", "two")]
    event.listen(sessions[0], "after_begin", lambda *_args: heard.append(1))
    for session in sessions:
        session.execute(text("SELECT 1"))
    assert heard == [1]
    transaction.abort()


@pytest.mark.parametrize("how", ["lsn", "off"])
def test_autocommit_stays(pair, urls, new_service, driver, how):
    """An AUTOCOMMIT engine is one after a write, too: what can't run in a transaction does; and the write is marked."""

    def set_up(config):
        session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("run", "/run")
        config.add_view(
            lambda request: session.execute(text(request.params["sql"])) and "done", route_name="run", renderer="string"
        )

    more = {"sqlalchemy.isolation_level": "AUTOCOMMIT", "sqlalchemy.pool_size": "1", "c2c.db.read_your_writes": how}
    app = new_service(set_up, **urls(driver), **more).app
    for sql in ("INSERT INTO note (text) VALUES ('x')", "VACUUM note", "SELECT 1", "VACUUM note"):
        answer = app.post("/run", {"sql": sql})
        assert ("Set-Cookie" in answer.headers) == (how == "lsn" and sql != "SELECT 1")
    assert _count(pair) == 1


@pytest.mark.parametrize("manager", ["default", "explicit_manager"])
def test_after_the_answer(pair, urls, new_service, manager):  # noqa: C901 # small views
    """A session used in a body that is sent, by a subscriber or a callback leaves no transaction open.

    What is written there is committed; of a body that ends early nothing is.
    """

    def set_up(config):
        session, _, _ = setup_session(config, "sqlalchemy")

        def body(request):
            for _ in range(2):
                session.execute(_INSERT)
                yield str(session.scalar(text("SELECT 1"))).encode()
                if "fail" in request.params:
                    raise RuntimeError

        def callback(request):
            def use(_request):
                session.execute(_INSERT)

            request.add_response_callback(lambda asked, _response: use(asked))
            request.add_finished_callback(use)
            return "done"

        def on_response(happened):
            if happened.request.path == "/subscriber":
                session.execute(_INSERT)

        config.add_subscriber(on_response, NewResponse)
        views = {
            "stream": lambda request: Response(app_iter=body(request), content_length=2),
            "callback": callback,
            "subscriber": lambda _request: "done",
        }
        for name, view in views.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name, renderer="string")

    hook = {} if manager == "default" else {"tm.manager_hook": f"pyramid_tm.{manager}"}
    name = f"late {manager}"
    url = f"{pair.primary.url}?application_name={name.replace(' ', '+')}"
    app = new_service(set_up, **{"sqlalchemy.url": url}, **hook).app
    before = 0
    for path, written in {"/stream": 2, "/callback": 2, "/subscriber": 1}.items():
        answer = app.post(path)
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert _idle_in_transaction(pair.primary, name) == 0
        assert _count(pair) - before == written
        before += written
    with pytest.raises(RuntimeError):
        app.post("/stream?fail")
    assert _idle_in_transaction(pair.primary, name) == 0
    assert _count(pair) == before
    transaction.abort()


def test_bodies_are_unchanged(tmp_path, new_service):
    """What is no body made while sent stays as it is: lists, files with Range, bodies with a length."""
    (tmp_path / "file").write_bytes(b"0123456789")
    lists = [b"a", b"b"]

    class Sized:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter([b"z"])

    sized = Sized()
    kept = []

    def set_up(config):
        from pyramid.response import FileResponse

        setup_session(config, "sqlalchemy")
        config.add_subscriber(lambda happened: kept.append(happened.response.app_iter), NewResponse)
        views = {
            "list": lambda _request: Response(app_iter=lists),
            "sized": lambda _request: Response(app_iter=sized),
            "file": lambda request: FileResponse(tmp_path / "file", request=request),
        }
        for name, view in views.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name)

    app = new_service(set_up, **{"sqlalchemy.url": f"sqlite:///{tmp_path}/db"}).app
    app.get("/list")
    assert kept[-1] is lists
    app.get("/sized")
    assert kept[-1] is sized
    assert app.get("/file").body == b"0123456789"
    assert type(kept[-1]).__name__ == "FileIter"


def test_two_phases_and_savepoints():
    """With a server that allows it, two-phase transactions commit and abort; so do savepoints of either kind."""
    with postgres(settings={"max_prepared_transactions": 5}) as server:
        server.execute("CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL)")
        for driver in ("psycopg2", "psycopg"):
            url = server.url.replace("postgresql:", f"postgresql+{driver}:")
            session = create_session(None, driver, url)
            session.configure(twophase=True)
            session.execute(_INSERT)
            transaction.commit()
            session.execute(_INSERT)
            transaction.abort()
            assert server.execute("SELECT count(*) FROM pg_prepared_xacts") == [(0,)]
            assert server.execute("SELECT count(*) FROM note") == [(1,)]
            session.remove()
            session.configure(twophase=False)
            session.execute(_INSERT)
            savepoint = transaction.savepoint()
            session.execute(_INSERT)
            savepoint.rollback()
            with session.begin_nested():
                session.execute(_INSERT)
            transaction.commit()
            assert server.execute("SELECT count(*) FROM note") == [(3,)]
            server.execute("TRUNCATE note")
            session.database.close()


def test_two_phases_leave_a_mark(new_postgres_pair, notes, new_service):
    """A write in two phases is marked by its position."""
    pair = new_postgres_pair(settings={"max_prepared_transactions": 5})
    pair.primary.execute("CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL)")
    pair.wait_caught_up()
    urls = {"sqlalchemy.url": pair.primary.url, "sqlalchemy_slave.url": pair.replica.url}
    service = new_service(notes, **urls)
    service.database.maker.configure(twophase=True)
    with pair.replay_paused():
        assert "/" in service.app.post("/notes").headers["X-C2C-DB-LSN"].split()[0]
        assert service.app.get("/notes").json == {"count": 1, "server": "primary"}


# pg8000 leaves the socket of a connection whose server died to the collector.
@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_pg8000(pair, notes, new_service, until, eighty):
    """A third driver, which takes none of libpq's arguments: reads, writes, read-only, marks, a dead replica."""
    settings = eighty()
    service = new_service(notes, **settings)
    until(lambda: service.app.get("/notes").json["server"] == "replica")
    with pair.replay_paused():
        assert service.app.post("/notes").json["server"] == "primary"
        assert service.app.get("/notes").json == {"count": 1, "server": "primary"}
    with pair.replica.down():
        for _ in range(3):
            assert service.app.get("/notes").json["count"] == 1


def test_a_dead_replica_is_one_warning(pair, urls, notes, new_service, until, driver, caplog):
    """Its death, with connections in the pool, is one WARNING of ours: no error, no traceback."""
    service = new_service(notes, **urls(driver))
    clients = [TestApp(service.app.app) for _ in range(3)]
    for client in clients:
        client.get("/notes")
    caplog.clear()
    pair.kill_replica()
    for client in clients * 3:
        assert client.get("/notes").json["server"] == "primary"
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage().partition(" (")[0] for record in loud] == [
        "Replica sqlalchemy_slave: usable -> offline"
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_a_restarted_primary_is_no_error(pair, urls, notes, new_service, driver, caplog, until):
    """Connections of the pool that died with a restart of the primary are no error and no traceback."""
    service = new_service(notes, **urls(driver))
    service.app.post("/notes")
    session = service.database.maker()
    session.execute(select(text("1")))
    pair.primary.restart()
    session.close()
    transaction.abort()
    until(lambda: service.app.post("/notes", status="*").status_int == 200)
    assert not [record for record in caplog.records if record.levelno > logging.WARNING or record.exc_info]
