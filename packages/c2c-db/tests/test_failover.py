"""Replicas that die, hang, lag, come back, or are promoted: requests go on."""

import threading
import time

import pytest
from sqlalchemy import event, text
from webtest import TestApp

from c2c_db import Probed, State, StateChanged, setup_session, use_replica


def _state(service):
    [status] = service.database.replica_states()
    return status.state


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
        assert _state(service) is State.OFFLINE
        pair.start_replica()
        until(lambda: load.servers[-1] == "replica")
    assert load.errors == []
    assert [named.engine.pool.checkedout() for named in service.database.engines] == [0, 0]
    states = [record.getMessage() for record in caplog.records if record.name == "c2c_db._replica"]
    assert [message.partition("(")[0] for message in states] == [
        "Replica sqlalchemy_slave: unknown -> usable ",
        "Replica sqlalchemy_slave: usable -> offline ",
        "Replica sqlalchemy_slave: offline -> usable ",
    ]


def test_stopped_under_load(pair, urls, notes, new_service, driver, until):
    """A replica that hangs (SIGSTOP) holds a request no longer than the connect limit; none fails."""
    service = new_service(notes, **urls(driver))
    service.app.get("/notes")
    with _Load(service.app) as load:
        until(lambda: load.servers.count("replica") > 50)
        with pair.replica.paused():
            seen = len(load.servers)
            until(lambda: len(load.servers) > seen + 200)
            until(lambda: _state(service) is State.OFFLINE)
            assert set(load.servers[-20:]) == {"primary"}
        until(lambda: load.servers[-1] == "replica")
    assert load.errors == []
    assert [named.engine.pool.checkedout() for named in service.database.engines] == [0, 0]
    assert load.slowest < 3 + 17  # the limit, and room for a slow machine; without the cut it is for ever


def test_down_from_the_start(pair, urls, notes, new_service, until):
    """An application starts, and reads, without its replica."""
    with pair.replica.down():
        service = new_service(notes, **urls())
        assert service.app.get("/notes").json["server"] == "primary"
        until(lambda: _state(service) is State.OFFLINE)
        service.app.get("/notes")
        assert service.database.decisions["sqlalchemy", "replica offline"] >= 1


def test_hangs_from_the_start(pair, urls, notes, new_service):
    """With a replica that hangs (SIGSTOP) from the start, the first read waits for the probe, the next does not."""
    with pair.replica.paused():
        service = new_service(notes, **urls())
        started = time.monotonic()
        assert service.app.get("/notes").json["server"] == "primary"
        first = time.monotonic() - started
        assert first < 1 + 14  # room for a slow machine; without the limit it is for ever
        assert service.app.get("/notes").json["server"] == "primary"
    assert sum(service.database.decisions.values()) == 2


def test_failover_policy_error(pair, urls, notes, new_service, until):
    """With the policy error, a read without a usable replica is a 503 with Retry-After; writes go on."""
    with pair.replica.down():
        service = new_service(notes, **urls(), **{"c2c.db.replica_failover": "error"})
        until(lambda: _state(service) is State.OFFLINE)
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
        [status] = service.database.replica_states()
        assert status.state is State.LAGGING
        assert status.lag > 1
    until(lambda: other.get("/notes").json == {"count": 1, "server": "replica"})


def test_dead_receiver(pair, urls, notes, new_service, until):
    """A replica that no longer receives is lagging, however much it has replayed of what it had."""
    service = new_service(notes, **urls())
    until(lambda: service.app.get("/notes").json["server"] == "replica")
    [(conninfo,)] = pair.replica.execute("SHOW primary_conninfo")
    pair.replica.set(primary_conninfo="host=127.0.0.1 port=1")
    try:
        until(lambda: service.app.get("/notes").json["server"] == "primary")
        [status] = service.database.replica_states()
        assert (status.state, status.reason) == (State.LAGGING, "its WAL receiver is not running")
    finally:
        pair.replica.set(primary_conninfo=conninfo)
    until(lambda: service.app.get("/notes").json["server"] == "replica")


def test_primary_away_reads_go_on(pair, urls, notes, new_service, until):
    """With the primary down, reads go on from the replica, which nobody feeds; writes are 503 and come back."""
    service = new_service(notes, **urls())
    service.app.get("/notes")
    with pair.primary.down():
        for _ in range(5):
            assert service.app.get("/notes").json["server"] == "replica"
            time.sleep(0.4)
        assert service.database.decisions["sqlalchemy_slave", "primary away"] >= 2
        answer = service.app.post("/notes", status=503)
        assert answer.headers["Retry-After"]
        assert answer.json["status"] == 503
    until(lambda: service.app.post("/notes", status="*").status_int == 200)


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


def test_a_password_of_the_hour(pair, urls, notes, new_service, driver):
    """A listener to do_connect brings the password, as clouds have it: the probe comes in by it, too."""
    login = f"{pair.primary.user}:{pair.primary.password}"
    settings = {key: url.replace(login, f"{pair.primary.user}:stale") for key, url in urls(driver).items()}
    given = []

    def bring(_dialect, _record, _positional, named):
        given.append(named.get("application_name"))
        named["password"] = pair.primary.password

    service = new_service(notes, **settings)
    for named in service.database.engines:
        event.listen(named.engine, "do_connect", bring)
    assert service.app.get("/notes").json["server"] == "replica"
    assert "c2c_db probe" in given


def test_replica_url_is_a_primary(pair, urls, notes, new_service, until):
    """A replica URL that leads to a primary (here by another name of it) is not read from."""
    more = {"sqlalchemy_slave.url": pair.primary.url.replace("127.0.0.1", "localhost")}
    service = new_service(notes, **urls(**more))
    assert service.app.get("/notes").json["server"] == "primary"
    until(lambda: _state(service) is State.NOT_A_REPLICA)


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
    until(lambda: _state(service) is State.NOT_A_REPLICA)
    messages = [r.getMessage().partition(" (")[0] for r in caplog.records if r.name == "c2c_db._primary"]
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


def test_pool_exhausted(pair, urls, notes, new_service):
    """With all connections to the replica in use, a read goes to the primary; with those in use too, it is a 503."""
    sizes = {
        f"{side}.{key}": value
        for side in ("sqlalchemy", "sqlalchemy_slave")
        for key, value in {"pool_size": "1", "max_overflow": "0", "pool_timeout": "1"}.items()
    }
    service = new_service(notes, **urls(**sizes))
    [primary, replica] = [named.engine for named in service.database.engines]
    with replica.connect():
        assert service.app.get("/notes").json["server"] == "primary"
        assert service.database.decisions["sqlalchemy", "pool exhausted"] == 1
        assert _state(service) is State.USABLE
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
    assert service.database.decisions["sqlalchemy", "recovery conflict"] == 1


def test_stateful_transactions_do_not_move(pair, urls, new_service):
    """After SET LOCAL a transaction does not go on elsewhere without it: the error is raised."""
    from sqlalchemy.exc import OperationalError

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
    assert _state(service) in {State.OFFLINE, State.UNKNOWN}


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


def test_several_replicas_are_balanced(pair, urls, notes, new_service, until):
    """Several hosts in the URL are several engines, used in turn; the one that is down is left out."""
    two = pair.replica.url.replace("127.0.0.1", "localhost")
    settings = urls(**{"sqlalchemy_slave.url": pair.replica.url, "sqlalchemy_slave.urls": f"\n{two}\n"})
    service = new_service(notes, **settings)
    until(lambda: {status.state for status in service.database.replica_states()} == {State.USABLE})
    for _ in range(10):
        service.app.get("/notes")
    assert service.database.decisions == {("sqlalchemy_slave_1", "method"): 5, ("sqlalchemy_slave_2", "method"): 5}
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
    assert (changes[0].database, changes[0].engine, changes[0].after) == ("sqlalchemy", "sqlalchemy_slave", "usable")
    assert next(event.lag for event in events if isinstance(event, Probed)) == 0
    assert [record.levelname for record in caplog.records if "observer failed" in record.message] == ["ERROR"]


def test_no_probes_without_traffic(pair, urls, notes, new_service, until):
    """An application that nobody asks leaves its replica alone."""
    events = []

    def set_up(config):
        notes(config)
        config.add_db_observer(lambda event: events.append(event) if isinstance(event, Probed) else None)

    service = new_service(set_up, **urls())
    assert events == []
    service.app.get("/notes")
    time.sleep(2.5)
    probes = len(events)
    assert 1 <= probes <= 3
    time.sleep(2.5)
    assert len(events) == probes
    service.app.get("/notes")
    until(lambda: len(events) > probes)
