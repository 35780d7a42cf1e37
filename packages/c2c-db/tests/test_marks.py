"""A client reads what it wrote in every ordinary set-up, and else the start or the log says that it can't."""

import logging
import threading

import pytest
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy import MetaData, Table, create_engine, func, insert, select, text
from webtest import TestApp

from c2c_broadcast import ConfigurationError
from c2c_db import State, databases, init, setup_session, use_primary
from c2c_testing.servers import postgres

_INSERT = text("INSERT INTO note (text) VALUES ('x')")
_COUNT = text("SELECT count(*) FROM note")


def _add(config, name, view, **more):
    config.add_route(name, f"/{name}")
    config.add_view(view, route_name=name, renderer="json", **more)


def _where(session):
    where = "replica" if session.scalar(text("SELECT pg_is_in_recovery()")) else "primary"
    return {"count": session.scalar(_COUNT), "server": where}


@pytest.mark.parametrize("manager", ["default", "explicit_manager"])
@pytest.mark.parametrize("tweens", [True, False])
def test_sub_requests(pair, urls, notes, new_service, tweens, manager):
    """The mark of a write in a sub-request is its client's; and a sub-request reads what the client wrote before."""

    def set_up(config):
        notes(config)

        def outer(request):
            inner = Request.blank("/notes", method=request.params["method"])
            inner.registry = request.registry
            return request.invoke_subrequest(inner, use_tweens=tweens).json

        _add(config, "outer", outer)

    hook = {} if manager == "default" else {"tm.manager_hook": f"pyramid_tm.{manager}"}
    service = new_service(set_up, **urls(), **hook)
    with pair.replay_paused():
        answer = service.app.post("/outer?method=POST")
        assert answer.json["server"] == "primary"
        assert answer.headers["X-C2C-DB-LSN"]
        assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]
        assert service.app.get("/notes").json == {"count": 1, "server": "primary"}
        assert service.app.get("/outer?method=GET").json == {"count": 1, "server": "primary"}
        assert TestApp(service.app.app).get("/outer?method=GET").json == {"count": 0, "server": "replica"}


def test_threads_of_a_request(pair, urls, notes, new_service):
    """The mark of what another thread committed for a request is in its answer; it reads as the client does."""

    def set_up(config):
        notes(config)

        def view(request):
            found = []

            def work():
                with use_primary():
                    request.dbsession.execute(_INSERT)
                    request.dbsession.manager.commit()
                found.append(_where(request.dbsession))
                request.dbsession.manager.abort()

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return found[0]

        _add(config, "thread", view)

    service = new_service(set_up, **urls())
    with pair.replay_paused():
        assert service.app.get("/thread").json == {"count": 1, "server": "primary"}
        assert service.app.get("/notes").json == {"count": 1, "server": "primary"}


def test_a_second_bind(pair, urls, note, new_service):
    """The position is that of the primary's own connection, though the session used another engine later."""
    with postgres() as other:
        other.execute("CREATE TABLE elsewhere (id int)")
        engine = create_engine(other.url)
        elsewhere = Table("elsewhere", MetaData(), autoload_with=engine)

        def set_up(config):
            session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")

            def write(_request):
                session.execute(insert(note).values(text="x"))
                session.execute(insert(elsewhere).values(id=1), bind_arguments={"bind": engine})
                return "done"

            _add(config, "write", write)
            _add(config, "read", lambda _request: _where(session))

        service = new_service(set_up, **urls())
        with pair.replay_paused():
            assert "/" in service.app.post("/write").headers["X-C2C-DB-LSN"].split()[0]
            assert service.app.get("/read").json == {"count": 1, "server": "primary"}
        assert other.execute("SELECT count(*) FROM elsewhere") == [(1,)]
        engine.dispose()


def test_urls_that_differ(pair, urls, urls_of_role, notes, new_service):
    """Without a secret, processes whose URLs differ by host, user, password and parameters share marks."""
    others = {
        key: url.replace("127.0.0.1", "localhost") + "?application_name=two"
        for key, url in urls_of_role("second").items()
    }
    one, two = new_service(notes, **urls()), new_service(notes, **others)
    with pair.replay_paused():
        two.app.cookiejar = one.app.cookiejar
        one.app.post("/notes")
        assert two.app.get("/notes").json == {"count": 1, "server": "primary"}


def test_no_permission_for_the_identity(pair, urls_of_role, notes, new_service, caplog):
    """Where nobody may ask for what all processes share, the URL's part of it does, and one warning says what to do."""
    pair.primary.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        service = new_service(notes, **urls_of_role("simple"))
        with pair.replay_paused():
            service.app.post("/notes")
            assert service.app.get("/notes").json == {"count": 1, "server": "primary"}
        assert [r.levelname for r in caplog.records if "pg_control_system" in r.getMessage()] == ["WARNING"]
    finally:
        pair.primary.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def test_services_of_one_host(pair, urls, notes, new_service):
    """Services with secrets of their own have cookies of their own: a visit at one takes nothing from the other."""
    one = new_service(notes, **urls(), **{"c2c.secret": "one-long-enough-secret"})
    two = new_service(notes, **urls(), **{"c2c.secret": "two-long-enough-secret"})
    two.app.cookiejar = one.app.cookiejar
    with pair.replay_paused():
        one.app.post("/notes")
        two.app.post("/notes")
        assert one.app.get("/notes").json == {"count": 2, "server": "primary"}
        assert two.app.get("/notes").json == {"count": 2, "server": "primary"}
    assert len({cookie.name for cookie in one.app.cookiejar}) == 2


def test_databases_of_two_servers(pair, urls, notes, new_service):
    """Two services with one secret and databases of two servers share a cookie, in which each has its own mark."""
    with postgres() as other:
        other.execute("CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL)")
        secret = {"c2c.secret": "one-long-enough-secret"}
        one = new_service(notes, **urls(), **secret)
        # Its replica is away: what counts here is that it writes a mark of its own.
        elsewhere = {"sqlalchemy.url": other.url, "sqlalchemy_slave.url": "postgresql://u:p@127.0.0.1:1/test"}
        two = new_service(notes, **elsewhere, **secret)
        two.app.cookiejar = one.app.cookiejar
        with pair.replay_paused():
            one.app.post("/notes")
            two.app.post("/notes")
            assert one.app.get("/notes").json == {"count": 1, "server": "primary"}


def test_an_exception_after_the_commit(pair, urls, notes, new_service):
    """A tween that fails above the transaction and is answered further up: the client has the mark all the same."""
    service = new_service(lambda config: (notes(config), _add_failing_tweens(config)), **urls())
    with pair.replay_paused():
        answer = service.app.post("/notes?fail", status=500)
        assert answer.text == "sorry"
        assert service.app.get("/notes").json == {"count": 1, "server": "primary"}


def test_tweens_whose_errors_the_server_answers(urls, notes, new_service, caplog):
    """What no tween answers has no response to carry a mark: which tweens may raise it is said at the start."""
    new_service(lambda config: (notes(config), _add_failing_tweens(config)), **urls())
    said = [record for record in caplog.records if "the server's own 500" in record.getMessage()]
    assert [record.levelname for record in said] == ["WARNING"]
    assert f"{__name__}.failing_tween" in said[0].getMessage()
    caplog.clear()
    new_service(notes, **urls())
    new_service(
        lambda config: (notes(config), _add_failing_tweens(config)), **urls(**{"c2c.db.read_your_writes": "off"})
    )
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def _add_failing_tweens(config):
    config.add_tween(f"{__name__}.failing_tween", over="c2c_db._scope.tween_factory")
    config.add_tween(f"{__name__}.answering_tween", over=f"{__name__}.failing_tween")


def failing_tween(handler, _registry):
    """Fail after the commit."""

    def tween(request):
        response = handler(request)
        if "fail" in request.params:
            raise RuntimeError
        return response

    return tween


def answering_tween(handler, _registry):
    """Answer what fails."""

    def tween(request):
        try:
            return handler(request)
        except RuntimeError:
            return Response("sorry", status=500)

    return tween


def test_nothing_shared_is_said(tmp_path, caplog):
    """Where the key of the marks is one that anybody can guess, one warning at the start names the remedy."""

    def start(**settings):
        caplog.clear()
        url = f"sqlite:///{tmp_path}/"
        settings |= {"sqlalchemy.url": f"{url}a", "sqlalchemy_slave.url": f"{url}b"}
        setup_session(Configurator(settings=settings), "sqlalchemy", "sqlalchemy_slave")
        return [record.levelno for record in caplog.records if "set C2C_SECRET" in record.getMessage()]

    assert start() == [logging.WARNING]
    assert start(**{"c2c.secret": "one-long-enough-secret"}) == []
    assert start(**{"c2c.db.read_your_writes": "off"}) == []


def test_no_lag_of_any_kind():
    """max_lag is refused for replicas that are not asked for it."""
    settings = {"sqlalchemy.url": "sqlite://", "c2c.db.replica_kind": "any", "c2c.db.max_lag": "3"}
    with pytest.raises(ConfigurationError, match=r"C2C_DB_MAX_LAG.*C2C_DB_REPLICA_KIND"):
        init(Configurator(settings=settings))


def test_a_logical_replica(notes, new_service, driver, until):
    """A subscriber of logical replication is read from, within a time window after a write the primary is."""
    with postgres(settings={"wal_level": "logical"}) as primary, postgres() as replica:
        for server in (primary, replica):
            server.execute("CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL)")
            server.execute(f"CREATE TABLE here AS SELECT '{'primary' if server is primary else 'replica'}' AS name")
        primary.execute("CREATE PUBLICATION notes FOR TABLE note")
        replica.execute(f"CREATE SUBSCRIPTION notes CONNECTION '{primary.url}' PUBLICATION notes")

        def set_up(config):
            notes(config)
            _add(
                config,
                "here",
                lambda request: [
                    request.dbsession.scalar(select(func.count()).select_from(text("note"))),
                    request.dbsession.scalar(text("SELECT name FROM here")),
                ],
            )

        both = {"sqlalchemy.url": primary.url, "sqlalchemy_slave.url": replica.url}
        settings = {key: url.replace("postgresql:", f"postgresql+{driver}:") for key, url in both.items()}
        service = new_service(set_up, **settings, **{"c2c.db.replica_kind": "any", "c2c.db.read_your_writes": "30"})
        other = TestApp(service.app.app)
        try:
            until(lambda: other.get("/here").json == [0, "replica"])
            replica.execute("ALTER SUBSCRIPTION notes DISABLE")
            service.app.post("/notes")
            assert service.app.get("/here").json == [1, "primary"]
            assert other.get("/here").json == [0, "replica"]
            replica.execute("ALTER SUBSCRIPTION notes ENABLE")
            until(lambda: other.get("/here").json == [1, "replica"])
            assert service.replica_state is State.USABLE
            # Asked for nothing but an answer: it could not give positions.
            assert databases(service.config.registry)["sqlalchemy"].replica_states()[0].lag is None
            replica.execute("ALTER SUBSCRIPTION notes DISABLE")
            replica.kill()
            assert other.get("/here").json == [1, "primary"]
        finally:
            for engine in service.database.engines:
                engine.dispose()
