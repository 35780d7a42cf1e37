"""Replicas that die, hang, lag, come back, or are promoted: requests go on."""

import itertools
import logging
import re
import threading
import time

from sqlalchemy import event
from webtest import TestApp

from c2c_db import ReplicaStatus, State, StateChanged


class _Load:
    """Clients that read without a pause, each in its thread, and what they saw."""

    def __init__(self, app, clients=8):
        self.servers: list[str] = []
        self.errors: list[BaseException] = []
        self.slowest = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(TestApp(app.app),)) for _ in range(clients)]

    def _read(self, client):
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self.servers.append(client.get("/notes").json["server"])
            except Exception as error:  # noqa: BLE001 - each one counts
                self.errors.append(error)
            self.slowest = max(self.slowest, time.monotonic() - started)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)


def test_killed_under_load(pair, urls, notes, new_service, driver, until, caplog):
    """SIGKILL of the replica under load from 8 clients: no request fails; its return is noticed; said once each."""
    caplog.set_level("INFO", "c2c_db")
    service = new_service(notes, **urls(driver))
    service.app.get("/notes")
    with _Load(service.app) as load:
        until(lambda: load.servers.count("replica") > 50)
        pair.kill_replica()
        seen = len(load.servers)
        until(lambda: len(load.servers) > seen + 100)
        assert set(load.servers[-20:]) == {"primary"}
        assert service.replica_state is State.OFFLINE
        pair.start_replica()
        until(lambda: load.servers[-1] == "replica")
    assert load.errors == []
    assert [engine.pool.checkedout() for engine in service.database.engines] == [0, 0]
    states = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Replica ")]
    assert [message.partition("(")[0] for message in states] == [
        "Replica sqlalchemy_slave: unknown -> usable ",
        "Replica sqlalchemy_slave: usable -> offline ",
        "Replica sqlalchemy_slave: offline -> usable ",
    ]


def test_stopped_under_load(pair, urls, notes, new_service, driver, until, caplog):
    """A replica that hangs (SIGSTOP) holds a request no longer than the connect limit; none fails, nothing is loud."""
    service = new_service(notes, **urls(driver))
    service.app.get("/notes")
    with _Load(service.app) as load:
        until(lambda: load.servers.count("replica") > 50)
        with pair.replica.paused():
            seen = len(load.servers)
            until(lambda: len(load.servers) > seen + 200)
            until(lambda: service.replica_state is State.OFFLINE)
            assert set(load.servers[-20:]) == {"primary"}
        until(lambda: load.servers[-1] == "replica")
    assert load.errors == []
    assert [engine.pool.checkedout() for engine in service.database.engines] == [0, 0]
    assert not [record for record in caplog.records if record.levelno > logging.WARNING or record.exc_info]
    assert load.slowest < 3 + 17  # the limit, and room for a slow machine; without the cut it is for ever


def test_what_is_in_use_when_a_pool_is_dropped_is_closed(urls, notes, new_service, driver):
    """A connection that comes back after that (its server was given up meanwhile) is not left to the collector."""
    for engine in new_service(notes, **urls(driver)).database.engines:
        for closed in (True, False):
            connection = engine.connect()
            raw = connection.connection.dbapi_connection
            if closed:
                engine.dispose()
            connection.close()
            assert bool(raw.closed) == closed


def test_down_from_the_start(pair, urls, notes, new_service, until):
    """An application starts, and reads, without its replica."""
    with pair.replica.down():
        service = new_service(notes, known=False, **urls())
        assert service.app.get("/notes").json["server"] == "primary"
        until(lambda: service.replica_state is State.OFFLINE)
        service.app.get("/notes")
        assert service.decisions["sqlalchemy", "replica offline"] >= 1


def test_hangs_from_the_start(pair, urls, notes, new_service):
    """With a replica that hangs (SIGSTOP) from the start, the first read waits for the probe, the next does not."""
    with pair.replica.paused():
        service = new_service(notes, known=False, **urls())
        started = time.monotonic()
        assert service.app.get("/notes").json["server"] == "primary"
        first = time.monotonic() - started
        assert first < 1 + 14  # room for a slow machine; without the limit it is for ever
        assert service.app.get("/notes").json["server"] == "primary"
    assert sum(service.decisions.values()) == 2


def test_failover_policy_error(pair, urls, notes, new_service, until):
    """With the policy error, a read without a usable replica is a 503 with Retry-After; writes go on."""
    with pair.replica.down():
        service = new_service(notes, **urls(), **{"c2c.db.replica_failover": "error"})
        until(lambda: service.replica_state is State.OFFLINE)
        answer = service.app.get("/notes", status=503)
        assert answer.headers["Retry-After"] == "1"
        assert answer.json["message"].startswith("No replica is usable (replica offline)")
        service.app.post("/notes")


def test_lagging(pair, urls, notes, new_service, until):
    """A replica further behind than the limit is not used; an idle primary is no lag."""
    service = new_service(notes, **urls(), **{"c2c.db.max_lag": "1"})
    other = TestApp(service.app.app)
    time.sleep(1.5)  # nothing is written: the last commit is older than the limit
    until(lambda: other.get("/notes").json["server"] == "replica")
    with pair.replay_paused():
        service.app.post("/notes")
        until(lambda: other.get("/notes").json["server"] == "primary")
        states = service.database.replica_states
        until(lambda: [one.state is State.LAGGING and one.lag > 1 for one in states()] == [True])
    until(lambda: other.get("/notes").json == {"count": 1, "server": "replica"})


def test_dead_receiver(pair, urls, notes, new_service, until):
    """A replica that no longer receives is lagging, however much it has replayed of what it had."""
    service = new_service(notes, **urls())
    until(lambda: service.app.get("/notes").json["server"] == "replica")
    [(conninfo,)] = pair.replica.execute("SHOW primary_conninfo")
    pair.replica.set(primary_conninfo="host=127.0.0.1 port=1")
    try:
        until(lambda: service.app.get("/notes").json["server"] == "primary")
        why = "its WAL receiver is not running"
        until(lambda: [(one.state, one.reason) for one in service.database.replica_states()] == [(State.LAGGING, why)])
    finally:
        pair.replica.set(primary_conninfo=conninfo)
    until(lambda: service.app.get("/notes").json["server"] == "replica")


def test_a_password_of_the_hour(pair, urls, notes, new_service, driver):
    """A listener to do_connect brings the password, as clouds have it: the probe comes in by it, too."""
    login = f"{pair.primary.user}:{pair.primary.password}"
    settings = {key: url.replace(login, f"{pair.primary.user}:stale") for key, url in urls(driver).items()}
    given = []

    def bring(_dialect, _record, _positional, named):
        given.append(named.get("application_name"))
        named["password"] = pair.primary.password

    service = new_service(notes, known=False, **settings)
    for engine in service.database.engines:
        event.listen(engine, "do_connect", bring)
    assert service.app.get("/notes").json["server"] == "replica"
    assert "c2c_db probe" in given


def test_replica_url_is_a_primary(pair, urls, notes, new_service, until):
    """A replica URL that leads to a primary (here by another name of it) is not read from."""
    more = {"sqlalchemy_slave.url": pair.primary.url.replace("127.0.0.1", "localhost")}
    service = new_service(notes, **urls(**more))
    assert service.app.get("/notes").json["server"] == "primary"
    until(lambda: service.replica_state is State.NOT_A_REPLICA)


def test_several_replicas_are_balanced(pair, urls, notes, new_service, until):
    """Several hosts in the URL are several engines, used in turn; the one that is down is left out."""
    two = pair.replica.url.replace("127.0.0.1", "localhost")
    settings = urls(**{"sqlalchemy_slave.url": pair.replica.url, "sqlalchemy_slave.urls": f"\n{two}\n"})
    service = new_service(notes, **settings)
    until(lambda: {status.state for status in service.database.replica_states()} == {State.USABLE})
    for _ in range(10):
        service.app.get("/notes")
    assert service.decisions == {("sqlalchemy_slave_1", "method"): 5, ("sqlalchemy_slave_2", "method"): 5}
    hosts = f"127.0.0.1:{pair.replica.port},127.0.0.1:1"
    url = pair.replica.url.replace(f"127.0.0.1:{pair.replica.port}", hosts)
    service = new_service(notes, **urls(**{"sqlalchemy_slave.url": url}))
    expected = [State.USABLE, State.OFFLINE]
    until(lambda: [status.state for status in service.database.replica_states()] == expected)
    for _ in range(10):
        assert service.app.get("/notes").json["server"] == "replica"


def test_observers(pair, urls, notes, new_service, until, caplog):
    """Observers get decisions, probes with lag, and changes of state; one that raises breaks nothing."""
    events = []

    def broken(_event):
        raise RuntimeError

    def set_up(config):
        notes(config)
        config.add_db_observer(broken)
        config.add_db_observer(events.append)

    service = new_service(set_up, **urls())
    service.app.get("/notes")
    with pair.replica.down():
        service.app.get("/notes")
        until(lambda: [event for event in events if isinstance(event, StateChanged) and event.after == "offline"])
    changes = [event for event in events if isinstance(event, StateChanged)]
    assert (changes[0].engine, changes[0].after) == ("sqlalchemy_slave", "usable")
    assert next(event.lag for event in events if isinstance(event, ReplicaStatus)) == 0
    assert [record.levelname for record in caplog.records if "observer failed" in record.message] == ["ERROR"]


def test_no_probes_without_traffic(pair, urls, notes, new_service, until):
    """An application that nobody asks leaves its replica alone."""
    events = []

    def set_up(config):
        notes(config)
        config.add_db_observer(lambda event: events.append(event) if isinstance(event, ReplicaStatus) else None)

    service = new_service(set_up, known=False, **urls())
    [replica] = service.database.replicas.all
    assert events == []
    service.app.get("/notes")
    until(lambda: replica._parked)
    probes = len(events)
    assert probes >= 1
    time.sleep(2.5)
    assert len(events) == probes
    service.app.get("/notes")
    until(lambda: len(events) > probes)


def test_what_is_set_ends_with_its_transaction(pair, urls, notes, new_service, until):
    """Behind a pooler of transactions (pgbouncer) what a session sets is the next client's: nothing of ours is."""
    servers = (pair.primary, pair.replica)
    for server in servers:
        server.set(log_statement="all")
    begun = [len(server.log_text()) for server in servers]
    try:
        service = new_service(notes, **urls())
        until(lambda: service.app.get("/notes").json["server"] == "replica")
        service.app.post("/notes")
        until(lambda: "SET LOCAL statement_timeout" in pair.replica.log_text()[begun[1] :])
    finally:
        for server in servers:
            server.set(log_statement=None)
    said = "".join(server.log_text()[at:] for server, at in zip(servers, begun, strict=True))
    assert re.findall(r"(?:statement|execute \S+): *SET (?!LOCAL|TRANSACTION).*", said, re.IGNORECASE) == []


def test_probes_under_load(pair, urls, notes, new_service, until):
    """However many requests come, a replica is probed at most once a second."""
    probed = []

    def set_up(config):
        notes(config)
        config.add_db_observer(
            lambda event: probed.append(time.monotonic()) if isinstance(event, ReplicaStatus) else None
        )

    service = new_service(set_up, **urls())
    with _Load(service.app):
        until(lambda: len(probed) >= 5)
    assert min(later - one for one, later in itertools.pairwise(probed)) > 0.9


def test_a_busy_replica_is_not_away(pair, urls, notes, new_service, until, caplog, monkeypatch):
    """A probe that the server's own limit ends says that it is busy: what was known holds, as long as it is fresh."""
    service = new_service(notes, **urls())
    until(lambda: service.app.get("/notes").json["server"] == "replica")
    caplog.clear()
    with monkeypatch.context() as patched:
        patched.setattr("c2c_db._replica._SQL", "SELECT pg_sleep(5)")
        until(lambda: service.replica_state is State.UNKNOWN)
    until(lambda: service.replica_state is State.USABLE)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
