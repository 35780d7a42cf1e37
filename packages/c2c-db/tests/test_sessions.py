"""Sessions on the right side: by method, by rule, by hand."""

import contextlib
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import transaction
from sqlalchemy import create_engine, func, insert, select, text
from sqlalchemy.orm import Session

from c2c_db import ReadOnlySessionError, init, route_name, setup_session, use_primary, use_replica

_RETURNING = "INSERT INTO note (text) VALUES ('x') RETURNING id"


def _urls(pair, **more):
    return {"sqlalchemy.url": pair.primary.url, "sqlalchemy_slave.url": pair.replica.url, **more}


def _where(session: Any) -> str:
    return "replica" if session.scalar(text("SELECT pg_is_in_recovery()")) else "primary"


def test_method_chooses(pair, new_service):
    """GET, HEAD and OPTIONS read from the replica, all other methods use the primary."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("where", "/where")
        config.add_view(lambda request: _where(request.dbsession), route_name="where", renderer="string")

    app = new_service(set_up, **_urls(pair)).app
    assert app.get("/where").text == "replica"
    assert app.options("/where").text == "replica"
    for method in (app.post, app.put, app.patch, app.delete):
        assert method("/where").text == "primary"


def test_rules_choose(pair, new_service):
    """Patterns (texts, compiled) match "METHOD path" from its start, prefix included; force_master wins."""

    def set_up(config):
        session, _, _ = setup_session(
            config,
            "sqlalchemy",
            "sqlalchemy_slave",
            force_master=["GET /api/fresh", re.compile(r"get /api/any", re.IGNORECASE), route_name("exact")],
            force_slave=["POST /api/(search|fresh)", ".*fresh", route_name("counted")],
        )
        for name in ("fresh", "any", "exact", "search", "counted", "unsearch"):
            config.add_route(name, f"/{name}")
            config.add_view(lambda _request: _where(session), route_name=name, renderer="string")

    app = new_service(set_up, route_prefix="/api", **_urls(pair)).app
    assert app.get("/api/fresh").text == "primary"
    assert app.get("/api/any").text == "primary"
    assert app.get("/api/exact").text == "primary"
    assert app.post("/api/search").text == "replica"
    assert app.post("/api/counted").text == "replica"
    assert app.post("/api/unsearch").text == "primary"
    assert app.get("/api/unsearch").text == "replica"


def test_asking_chooses(pair, new_service):
    """use_primary and use_replica choose for their block, in a request and outside; outside is the primary."""
    made = []

    def set_up(config):
        session, rw_engine, ro_engine = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
        assert session.c2c_rw_bind is rw_engine
        assert session.c2c_ro_bind is ro_engine
        made.append(session)

        def view(_request):
            found = [_where(session)]
            with use_primary():
                found.append(_where(session))
                with use_replica():
                    found.append(_where(session))
            return " ".join([*found, _where(session)])

        config.add_route("where", "/where")
        config.add_view(view, route_name="where", renderer="string")

    service = new_service(set_up, **_urls(pair))
    assert service.app.get("/where").text == "replica primary replica replica"
    [session] = made
    assert _where(session) == "primary"
    with use_replica():
        assert _where(session) == "replica"
    session.remove()


def test_asking_chooses_for_the_request_s_session(pair, new_service):
    """request.dbsession, too, is the block's in a block; the error of a write there names the remedy that works."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def view(request):
            found = [_where(request.dbsession)]
            with use_primary():
                found.append(_where(request.dbsession))
                request.dbsession.execute(text("INSERT INTO note (text) VALUES ('x')"))
            assert request.dbsession is request.dbsession
            return " ".join([*found, _where(request.dbsession)])

        config.add_route("where", "/where")
        config.add_view(view, route_name="where", renderer="string")

    assert new_service(set_up, **_urls(pair)).app.get("/where").text == "replica primary replica"
    assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]


@pytest.mark.parametrize("manager", ["implicit", "explicit"])
def test_threads_of_a_request(pair, new_service, manager):
    """Each thread that works for a request has a session of its own, on the request's side, whichever kind of manager.

    Their transactions are their own; an error in one of them names the route.
    """
    sessions: list[Any] = []

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def ask(request, together):
            session = request.dbsession
            sessions.append(session)
            together.wait(60)
            assert request.dbsession is session
            return request.dbsession.scalar(text("SELECT pg_is_in_recovery() FROM pg_sleep(0.05)"))

        def write(request):
            request.dbsession.execute(text("INSERT INTO note (text) VALUES ('x')"))

        def view(request):
            together = threading.Barrier(4)
            with ThreadPoolExecutor(3) as pool:
                found = [pool.submit(ask, request, together) for _ in range(3)]
                here = ask(request, together)
                with pytest.raises(ReadOnlySessionError, match=r"^Route 'where' \(GET /where\) writes.*use_primary"):
                    pool.submit(write, request).result()
                return [here, *(one.result() for one in found)]

        config.add_route("where", "/where")
        config.add_view(view, route_name="where", renderer="json")

    settings = {"tm.manager_hook": "pyramid_tm.explicit_manager"} if manager == "explicit" else {}
    service = new_service(set_up, **_urls(pair), **settings)
    assert service.app.get("/where").json == [True] * 4
    assert len({id(session) for session in sessions}) == 4
    for session in sessions:
        session.close()
    assert [engine.pool.checkedout() for engine in service.database.engines] == [0, 0]


def test_a_pool_that_ends_nothing(pair, new_service):
    """A thread that leaves the sessions of the requests it worked for open holds one connection, not one a request."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def view(request):
            return pool.submit(lambda: request.dbsession.scalar(text("SELECT 42"))).result()

        config.add_route("ask", "/ask")
        config.add_view(view, route_name="ask", renderer="json")

    with ThreadPoolExecutor(1) as pool:
        service = new_service(set_up, **_urls(pair), **{"sqlalchemy_slave.pool_timeout": "5"})
        for _ in range(30):  # more than the pool's 15 connections
            assert service.app.get("/ask").json == 42
        [_, replica] = service.database.engines
        assert replica.pool.checkedout() == 1
        pool.submit(transaction.abort).result()
        assert replica.pool.checkedout() == 0


def test_a_thread_that_hangs_does_not_hold_the_answer(pair, new_service):
    """A request ends though another thread waits for the database with request.dbsession: a check past its deadline."""
    threads: list[threading.Thread] = []
    pids: list[int] = []

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def view(request):
            asked = threading.Event()

            def hang():
                pids.append(request.dbsession.scalar(text("SELECT pg_backend_pid()")))
                asked.set()
                with pytest.raises(Exception, match="terminat"):
                    request.dbsession.execute(text("SELECT pg_sleep(600)"))
                request.dbsession.close()

            threads.append(threading.Thread(target=hang))
            threads[0].start()
            assert asked.wait(60)
            return "done"

        config.add_route("hang", "/hang")
        config.add_view(view, route_name="hang", renderer="string", request_method="POST")

    app = new_service(set_up, **_urls(pair)).app
    assert app.post("/hang").text == "done"
    assert threads[0].is_alive()
    pair.primary.execute("SELECT pg_terminate_backend(%s)", pids)
    threads[0].join(60)
    assert not threads[0].is_alive()


@pytest.mark.parametrize(
    "write",
    [
        lambda session, note: session.add(note(text="x")),
        lambda session, note: session.execute(insert(note), [{"text": "x"}]),
        lambda session, note: session.execute(text("INSERT INTO note (text) VALUES ('x')")),
        lambda session, note: session.scalars(insert(note).returning(note.id), [{"text": "x"}]).all(),
        lambda session, note: session.scalar(insert(note).values(text="x").returning(note.id)),
        lambda session, note: session.execute(text(_RETURNING).columns(note.id)).all(),
        lambda session, note: session.scalars(
            select(note).from_statement(insert(note).values(text="x").returning(note))
        ).all(),
        lambda session, note: session.bulk_insert_mappings(note, [{"text": "x"}]),
        lambda session, note: session.bulk_save_objects([note(text="x")]),
        lambda session, note: session.connection().execute(insert(note.__table__).values(text="x")),
        lambda session, note: session.connection().exec_driver_sql("INSERT INTO note (text) VALUES ('x')"),
        lambda session, note: session.execute(text("SET LOCAL work_mem = '5MB'; INSERT INTO note (text) VALUES ('x')")),
        lambda session, note: session.execute(text("SELECT 1; INSERT INTO note (text) VALUES ('x')")),
        lambda session, note: session.execute(text(f"WITH new AS ({_RETURNING}) SELECT * FROM new")),
        lambda session, note: session.execute(select(insert(note).values(text="x").returning(note.id).cte("new"))),
        lambda session, note: session.execute(text("SELECT add_note()")),
        lambda session, note: session.execute(select(func.ADD_NOTE())),
        lambda session, note: session.execute(text("CALL do_add_note()")),
        lambda session, note: session.execute(text("DO $$ BEGIN INSERT INTO note (text) VALUES ('x'); END $$")),
    ],
)
def test_whatever_writes_is_committed(pair, new_service, note, write):
    """By each way to write with a session; and the client carries the mark of it."""
    pair.primary.execute(
        "CREATE OR REPLACE FUNCTION add_note() RETURNS int LANGUAGE sql AS "
        "$$ INSERT INTO note (text) VALUES ('x') RETURNING id $$;"
        "CREATE OR REPLACE PROCEDURE do_add_note() LANGUAGE sql AS $$ INSERT INTO note (text) VALUES ('x') $$"
    )
    pair.wait_caught_up()

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("write", "/write")
        config.add_view(lambda request: str(write(request.dbsession, note)), route_name="write", renderer="string")

    app = new_service(set_up, **_urls(pair)).app
    assert app.post("/write").headers["X-C2C-DB-LSN"]
    assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]
    with pytest.raises(ReadOnlySessionError):
        app.get("/write")


def test_what_the_driver_writes_is_committed(pair, new_service):
    """By a cursor of the driver's, which nobody sees: the connection was asked for, and the server knows."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def view(request):
            with contextlib.closing(request.dbsession.connection().connection.cursor()) as cursor:
                cursor.execute(request.params["sql"])
            return "done"

        config.add_route("run", "/run")
        config.add_view(view, route_name="run", renderer="string")

    app = new_service(set_up, **_urls(pair)).app
    assert "Set-Cookie" in app.post("/run", {"sql": "INSERT INTO note (text) VALUES ('x')"}).headers
    assert "Set-Cookie" not in app.post("/run", {"sql": "SELECT 1"}).headers
    assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]


def test_bulk_updates_are_committed(pair, new_service, note):
    """Those by mappings, too."""
    pair.primary.execute("INSERT INTO note (text) VALUES ('before')")

    def set_up(config):
        init(config)
        config.add_route("write", "/write")
        config.add_view(
            lambda request: str(request.dbsession.bulk_update_mappings(note, [{"id": 1, "text": "after"}])),
            route_name="write",
            renderer="string",
        )

    new_service(set_up, **_urls(pair)).app.post("/write")
    assert pair.primary.execute("SELECT text FROM note") == [("after",)]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize("manager", ["implicit", "explicit"])
def test_commit(pair, new_service, driver, manager):
    """What a POST writes is committed by pyramid_tm, with either kind of manager and driver; an error rolls it back."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def view(request):
            request.dbsession.execute(text("INSERT INTO note (text) VALUES ('x')"))
            if "fail" in request.params:
                raise RuntimeError
            return "done"

        config.add_route("write", "/write")
        config.add_view(view, route_name="write", renderer="string")

    settings = {"tm.manager_hook": "pyramid_tm.explicit_manager"} if manager == "explicit" else {}
    urls = {key: url.replace("postgresql:", f"postgresql+{driver}:") for key, url in _urls(pair).items()}
    app = new_service(set_up, **urls, **settings).app
    app.post("/write")
    with pytest.raises(RuntimeError):
        app.post("/write?fail")
    assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]


@pytest.mark.parametrize(
    "sql", ["SELECT now(), random()", "SELECT pg_sleep(0)", "SELECT 1", "EXPLAIN INSERT INTO note VALUES (1)"]
)
def test_what_reads_leaves_no_mark(pair, new_service, sql):
    """A read on the primary, by functions too, gives its client no cookie: the server knows what was written."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("read", "/read")
        config.add_view(
            lambda request: str(request.dbsession.execute(text(sql)).all()), route_name="read", renderer="string"
        )

    app = new_service(set_up, **_urls(pair)).app
    for _ in range(2):
        assert "Set-Cookie" not in app.post("/read").headers


def test_notifications_are_sent(pair, new_service):
    """pg_notify, in capitals too, is committed, so that who listens hears it."""

    def set_up(config):
        init(config)
        config.add_route("notify", "/notify")
        config.add_view(
            lambda request: str(request.dbsession.execute(text("SELECT PG_NOTIFY('news', 'hello')"))),
            route_name="notify",
            renderer="string",
        )

    app = new_service(set_up, **_urls(pair)).app
    with contextlib.closing(pair.primary.connect()) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("LISTEN news")
            app.post("/notify")
            cursor.execute("SELECT 1")
        connection.poll()
        assert [notice.payload for notice in connection.notifies] == ["hello"]


def test_a_statement_costs_a_few_calls(tmp_path, new_service):
    """What looks at each statement is cheap: no listener that has SQLAlchemy go the careful way, few calls of ours."""
    statement = text("SELECT :one")

    def calls(session):
        count = 0

        def profile(_frame, what, _argument):
            nonlocal count
            count += what == "call"

        for turn in range(3):
            sys.setprofile(profile if turn == 2 else None)
            session.execute(statement, {"one": 1}).all()
        sys.setprofile(None)
        return count

    def set_up(config):
        session, _, _ = setup_session(config, "sqlalchemy")
        config.add_route("calls", "/calls")
        config.add_view(lambda _request: calls(session()), route_name="calls", renderer="json")

    url = f"sqlite:///{tmp_path}/db"
    engine = create_engine(url)
    with Session(engine) as plain:
        bare = calls(plain)
    engine.dispose()
    app = new_service(set_up, **{"sqlalchemy.url": url}).app
    assert app.post("/calls").json - bare <= 10
    assert app.get("/calls").json - bare <= 12
