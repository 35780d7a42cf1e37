"""The replica side is READ ONLY in the database, and the error says what to do."""

import pytest
from sqlalchemy import event, text

from c2c_db import ReadOnlySessionError, init, setup_session, use_replica


@pytest.mark.parametrize("two", ["one server", "two servers"])
def test_write_in_get(urls, notes, new_service, driver, two):
    """A GET that writes fails in the database, on one server too; the error names the route and the remedies."""
    more = {"sqlalchemy_slave.url": urls(driver)["sqlalchemy.url"]} if two == "one server" else {}
    service = new_service(notes, **urls(driver, **more))
    with pytest.raises(ReadOnlySessionError) as error:
        service.app.get("/bad")
    assert str(error.value) == (
        "Route 'bad' (GET /bad) writes in a read-only session of the replica side: use POST, PUT, PATCH or DELETE, "
        "or force_master=['GET /bad'], or `with use_primary():`"
    )
    assert service.app.post("/bad").json["server"] == "primary"
    assert service.app.get("/notes").json["count"] == 1
    assert service.app.post("/bad").json["id"] == 2


def test_one_server_is_one_engine(pair, urls, notes, new_service):
    """Two equal URLs, or no replica URL: one engine, no probe, no token; its connections go back writable."""
    for more in ({"sqlalchemy_slave.url": pair.primary.url}, {"sqlalchemy_slave.url": ""}):
        service = new_service(notes, **urls(**more))
        [engine] = service.database.engines
        assert service.database.scoped_session.c2c_ro_bind is service.database.primary.engine is engine
        assert service.app.get("/notes").json["server"] == "primary"
        assert "Set-Cookie" not in service.app.post("/notes").headers
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW transaction_read_only")) == "off"


def test_listeners_that_begin(pair, urls, notes, new_service, driver):
    """With a listener that executes something at each BEGIN, as some do for SET, it is read-only all the same."""
    service = new_service(notes, **urls(driver, **{"sqlalchemy_slave.url": ""}))
    engine = service.database.primary.engine
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL work_mem = '5MB'"))
    with pytest.raises(ReadOnlySessionError):
        service.app.get("/bad")
    assert service.app.get("/notes").json["count"] == 0
    assert service.app.post("/bad").json["server"] == "primary"


def test_not_enforced(pair, urls, notes, new_service):
    """Without enforcement a GET may write, where the replica side is the primary."""
    service = new_service(notes, **urls(**{"sqlalchemy_slave.url": "", "c2c.db.enforce_readonly": "false"}))
    assert service.app.get("/bad").json["server"] == "primary"


def test_fallen_over_reads_stay_read_only(pair, urls, notes, new_service):
    """A read that the primary does because the replica is down is read-only there too."""
    with pair.replica.down():
        service = new_service(notes, **urls())
        with pytest.raises(ReadOnlySessionError):
            service.app.get("/bad")


def test_other_remedies(urls, new_service):
    """The remedy fits how the session came to the replica side."""
    seen = []

    def set_up(config):
        session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave", force_slave=["POST /forced"])
        seen.append(session)

        def write(_request):
            session.execute(text("INSERT INTO note (text) VALUES ('x')"))

        def ask(request):
            with use_replica():
                write(request)

        for name, view in {"forced": write, "asked": ask}.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name, renderer="json")

    app = new_service(set_up, **urls()).app
    with pytest.raises(ReadOnlySessionError, match=r"Route 'forced' \(POST /forced\).*take it out of force_slave"):
        app.post("/forced")
    with pytest.raises(ReadOnlySessionError, match=r"Route 'asked' \(POST /asked\).*leave use_replica\(\)"):
        app.post("/asked")
    [session] = seen
    with use_replica(), pytest.raises(ReadOnlySessionError, match=r"leave use_replica\(\) before writing"):
        session.execute(text("INSERT INTO note (text) VALUES ('x')"))
    session.remove()


def test_sqlite(tmp_path, new_service):
    """SQLite files are routed, held read-only, and read by the writer in a time window, without a probe."""
    import sqlite3

    for name in ("primary", "replica"):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute("CREATE TABLE here (name TEXT)")
            connection.execute("INSERT INTO here VALUES (?)", [name])
        connection.close()

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def read(request):
            return request.dbsession.scalar(text("SELECT name FROM here"))

        def write(request):
            request.dbsession.execute(text("INSERT INTO here VALUES ('x')"))
            return read(request)

        for name, view in {"read": read, "write": write}.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name, renderer="string")

    urls = {"sqlalchemy.url": f"sqlite:///{tmp_path}/primary", "sqlalchemy_slave.url": f"sqlite:///{tmp_path}/replica"}
    service = new_service(set_up, **urls)
    assert service.app.get("/read").text == "replica"
    with pytest.raises(ReadOnlySessionError):
        service.app.get("/write")
    written = service.app.post("/write")
    assert written.text == "primary"
    assert written.headers["X-C2C-DB-LSN"]
    assert service.app.get("/read").text == "primary"
    service.app.reset()
    assert service.app.get("/read").text == "replica"
    one = new_service(set_up, **{"sqlalchemy.url": f"sqlite:///{tmp_path}/primary"})
    with pytest.raises(ReadOnlySessionError):
        one.app.get("/write")
    assert one.app.post("/write").text == "primary"


@pytest.mark.parametrize("two", [True, False])
def test_autocommit_engines(pair, urls, notes, new_service, driver, two):
    """An AUTOCOMMIT engine begins no transaction: its sessions of the replica side are READ ONLY all the same."""
    options = {"sqlalchemy.isolation_level": "AUTOCOMMIT", "sqlalchemy_slave.isolation_level": "AUTOCOMMIT"}
    settings = {**urls(driver), **options, "c2c.db.replica_kind": "any", "c2c.db.read_your_writes": "off"}
    # Of kind any a replica may be a server that takes writes.
    here = settings["sqlalchemy.url"]
    settings["sqlalchemy_slave.url"] = here.replace("127.0.0.1", "localhost") if two else here
    service = new_service(notes, **settings)
    for _ in range(2):
        with pytest.raises(ReadOnlySessionError, match="GET /bad"):
            service.app.get("/bad")
        assert service.app.post("/notes").json["server"] == "primary"  # connections are as they were
    assert pair.primary.execute("SELECT count(*) FROM note") == [(2,)]


def test_the_replicas_engine(pair, urls, notes, new_service, driver):
    """Who uses the replica's engine itself can't write either, AUTOCOMMIT or not."""
    settings = {**urls(driver), "c2c.db.replica_kind": "any", "c2c.db.read_your_writes": "off"}
    settings["sqlalchemy_slave.url"] = settings["sqlalchemy.url"].replace("127.0.0.1", "localhost")
    engine = new_service(notes, **settings).database.scoped_session.c2c_ro_bind
    insert = text("INSERT INTO note (text) VALUES ('x')")
    with pytest.raises(ReadOnlySessionError), engine.begin() as connection:
        connection.execute(insert)
    engine = new_service(notes, **{**settings, "sqlalchemy_slave.isolation_level": "AUTOCOMMIT"}).database.replicas
    with pytest.raises(ReadOnlySessionError), engine.all[0].engine.connect() as connection:
        connection.execute(insert)
    assert pair.primary.execute("SELECT count(*) FROM note") == [(0,)]


def test_one_connection_without_transactions(pair, urls, new_service, driver):
    """A connection of the replica side that is made AUTOCOMMIT by itself is READ ONLY, too."""

    def set_up(config):
        session, _, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")

        def view(_request):
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            session.execute(text("INSERT INTO note (text) VALUES ('x')"))

        config.add_route("note", "/note")
        config.add_view(view, route_name="note", renderer="json")
        config.add_route("read", "/read")
        config.add_view(lambda _request: session.scalar(text("SELECT 1")), route_name="read", renderer="json")

    settings = {**urls(driver), "c2c.db.replica_kind": "any", "c2c.db.read_your_writes": "off"}
    settings["sqlalchemy_slave.url"] = settings["sqlalchemy.url"].replace("127.0.0.1", "localhost")
    service = new_service(set_up, **settings)
    assert service.app.get("/read").json == 1
    with pytest.raises(ReadOnlySessionError):
        service.app.get("/note")
    assert service.app.get("/read").json == 1
    assert pair.primary.execute("SELECT count(*) FROM note") == [(0,)]
