"""The primary that dies, comes back, is demoted, or whose replica is promoted: reads go on, writes come back."""

import threading
import time

from c2c_db import State


def test_primary_away_reads_go_on(pair, urls, notes, new_service, until):
    """With the primary down, reads go on from the replica, which nobody feeds; writes are 503 and come back."""
    service = new_service(notes, **urls())
    service.app.get("/notes")
    with pair.primary.down():
        for _ in range(5):
            assert service.app.get("/notes").json["server"] == "replica"
            time.sleep(0.4)
        assert service.decisions["sqlalchemy_slave", "primary away"] >= 2
        answer = service.app.post("/notes", status=503)
        assert answer.headers["Retry-After"]
        assert answer.json["status"] == 503
    until(lambda: service.app.post("/notes", status="*").status_int == 200)


def test_no_thread_to_connect(urls, notes, new_service, driver):
    """Where the system has no thread to give, requests are served nevertheless."""
    service = new_service(notes, **urls(driver))
    before = threading.stack_size(1 << 46)
    try:
        for one in (service.database.primary, *service.database.replicas.all):
            one.engine.dispose()
        service.app.get("/notes")
        service.app.post("/notes")
    finally:
        threading.stack_size(before)


def test_primary_restarted_in_a_quiet_time(pair, urls, notes, new_service, driver):
    """After a restart of the primary that nobody saw, no request fails by the dead connections in the pool."""
    service = new_service(notes, **urls(driver))
    engine = service.database.primary.engine
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        connection.close()
    pair.primary.restart()
    time.sleep(1.1)
    for _ in range(4):
        service.app.post("/notes")


def test_promoted(new_postgres_pair, notes, new_service, driver, until, caplog):
    """The primary dies, the replica is promoted: 503s with Retry-After for less than 5 s, then writes go on there."""
    pair = new_postgres_pair()
    pair.primary.execute("CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL)")
    pair.wait_caught_up()
    where = f"{pair.primary.host}:{pair.primary.port},{pair.replica.host}:{pair.replica.port}"
    url = pair.primary.url.replace(f"{pair.primary.host}:{pair.primary.port}", where)
    settings = {"sqlalchemy.url": url, "sqlalchemy_slave.url": pair.replica.url}
    settings = {key: value.replace("postgresql:", f"postgresql+{driver}:") for key, value in settings.items()}
    service = new_service(notes, **settings)
    caplog.set_level("INFO", "c2c_db")
    service.app.post("/notes")
    assert service.app.get("/notes").json["count"] == 1
    pair.wait_caught_up()
    pair.primary.kill()
    for _ in range(3):  # a connection that was open, and ones that can't be made
        answer = service.app.post("/notes", status=503)
        assert answer.headers["Retry-After"] == "1"
    pair.promote()
    promoted = time.monotonic()
    until(lambda: service.app.post("/notes", status="*").status_int == 200)
    assert time.monotonic() - promoted < 5 + 5  # the bar, and room for a slow machine
    assert service.app.get("/notes").json["count"] >= 2
    until(lambda: service.replica_state is State.NOT_A_REPLICA)
    messages = [r.getMessage().partition(" (")[0] for r in caplog.records if r.getMessage().startswith("Primary")]
    assert messages == [
        "Primary sqlalchemy: available -> unavailable",
        "Primary sqlalchemy: unavailable -> available",
    ]


def test_demoted_primary(pair, urls, notes, new_service):
    """A "primary" that takes no writes (25006) is a 503, its pool is dropped, and connections are made anew."""
    more = {"sqlalchemy.url": pair.replica.url, "sqlalchemy_slave.url": ""}
    service = new_service(notes, **urls(**more))
    before = service.database.primary.engine.pool
    answer = service.app.post("/notes", status=503)
    assert "takes no writes" in answer.json["message"]
    assert service.database.primary.engine.pool is not before
