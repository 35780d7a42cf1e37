"""A primary that hangs (SIGSTOP): nobody waits for long, reads go on, and what merely takes long is left alone."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest
from sqlalchemy import text
from webtest import TestApp

from c2c_db import Database, UnavailableError, create_session, init

# The bar is 5 s for who waits while it is found out, and 1 s later; the rest is room for a slow machine. Without the
# bounds each of them waits until the server goes on.
_ROOM = 10


class _Clients:
    """Clients that ask once each, in threads of their own, and how long they waited."""

    def __init__(self, app):
        self._app = app
        self.answers = []
        self._threads = []

    def ask(self, method, number=1, client=None):
        for _ in range(number):
            thread = threading.Thread(target=self._ask, args=(method, client or TestApp(self._app)))
            thread.start()
            self._threads.append(thread)

    def _ask(self, method, client):
        started = time.monotonic()
        answer = client.request("/notes", method=method, status="*")
        self.answers.append((method, answer.status_int, answer.headers.get("Retry-After"), time.monotonic() - started))

    def join(self):
        for thread in self._threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self._threads)
        self._threads = []
        answers, self.answers = self.answers, []
        return answers


def _stays_known(service, times):
    for _ in range(times):
        time.sleep(0.5)
        assert service.database.primary.hangs


@pytest.mark.parametrize("pool", ["warm", "pinged", "cold"])
def test_writers_are_freed(pair, urls, notes, new_service, driver, pool, until):
    """Warm pool or cold, a write is a 503 in time; once it is known, at once; unmarked reads notice nothing."""
    more = {"sqlalchemy.pool_pre_ping": "true"} if pool == "pinged" else {}
    service = new_service(notes, **urls(driver, **more))
    reader, marked = TestApp(service.app.app), TestApp(service.app.app)
    reader.get("/notes")
    if pool != "cold":
        threads = _Clients(service.app.app)
        threads.ask("POST", 6)
        assert {status for _, status, *_ in threads.join()} == {200}
        marked.post("/notes")
        pair.wait_caught_up()
        until(lambda: marked.get("/notes").json["server"] == "replica")
    clients = _Clients(service.app.app)
    with pair.primary.paused():
        clients.ask("POST", 6)
        clients.ask("GET", 3)
        clients.ask("GET", 1, marked)
        first = clients.join()
        clients.ask("POST", 6)
        later = clients.join()
        _stays_known(service, 12)  # though it is asked all the while
    assert {(method, status, after) for method, status, after, _ in first} == {
        ("POST", 503, "1"),
        ("GET", 200, None),
    }
    assert {(status, after) for _, status, after, _ in later} == {(503, "1")}
    assert max(seconds for *_, seconds in first) < 5 + _ROOM
    assert max(seconds for *_, seconds in later) < 1 + _ROOM
    until(lambda: service.app.post("/notes", status="*").status_int == 200)
    assert [engine.pool.checkedout() for engine in service.database.engines] == [0, 0]


def test_a_mark_that_no_replica_has(pair, urls, notes, new_service):
    """A read of what no replica has is a 503 in time: it is not answered with an older state."""
    service = new_service(notes, **urls())
    with pair.replay_paused():
        service.app.post("/notes")
        with pair.primary.paused():
            started = time.monotonic()
            for _ in range(3):
                answer = service.app.get("/notes", status=503)
                assert answer.headers["Retry-After"] == "1"
            assert time.monotonic() - started < 5 + 1 + 1 + _ROOM
        # Whoever asks without a mark reads on.
        assert TestApp(service.app.app).get("/notes").json["server"] == "replica"


@pytest.mark.parametrize("limit", ["2", "5"])
def test_a_long_statement_is_not_cut(pair, urls, new_service, driver, limit):
    """A statement of the application's that takes longer than any limit of ours ends as it would."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")
        config.add_route("long", "/long")
        config.add_view(
            lambda request: str(request.dbsession.scalar(text("SELECT 42 FROM pg_sleep(8)"))),
            route_name="long",
            renderer="string",
        )

    service = new_service(set_up, **urls(driver), **{"c2c.db.primary_timeout": limit})
    clients = _Clients(service.app.app)
    answers = [None] * 3

    def ask(number):
        answers[number] = TestApp(service.app.app).post("/long").text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert answers == ["42"] * 3
    assert clients.join() == []
    assert service.database.primary.available


def test_hosts_that_all_hang(pair, urls, notes, new_service, driver):
    """However many hosts of a URL take connections and say nothing, a write is a 503 in time; reads notice nothing."""
    with contextlib.ExitStack() as stack:
        # libpq waits for two seconds for each of them.
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(12)]
        hosts = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in silent)
        primary = pair.primary.url.replace(f"{pair.primary.host}:{pair.primary.port}", hosts)
        more = {"sqlalchemy.url": primary.replace("postgresql:", f"postgresql+{driver}:")}
        service = new_service(notes, **{**urls(driver), **more})
        clients = _Clients(service.app.app)
        clients.ask("POST", 3)
        clients.ask("GET", 2)
        first = clients.join()
        clients.ask("POST", 3)
        later = clients.join()
    assert {(method, status) for method, status, *_ in first} == {("POST", 503), ("GET", 200)}
    assert max(seconds for *_, seconds in first) < 5 + _ROOM
    assert {status for _, status, *_ in later} == {503}
    assert max(seconds for *_, seconds in later) < 1 + _ROOM


def test_a_disk_that_hangs(pair, urls, notes, new_service, driver, until):
    """Commits that nobody finishes are freed in time, though the server answers questions; later ones are at once."""
    service = new_service(notes, **urls(driver))
    service.app.post("/notes")
    TestApp(service.app.app).get("/notes")
    clients = _Clients(service.app.app)
    # What waits for a stand-by that is not there waits where it would for a disk: in the commit.
    pair.primary.set(synchronous_standby_names="nobody")
    try:
        clients.ask("POST", 4)
        clients.ask("GET", 2)
        first = clients.join()
        clients.ask("POST", 4)
        later = clients.join()
        _stays_known(service, 6)  # though it answers questions all the while
    finally:
        pair.primary.set(synchronous_standby_names=None)
    assert {(method, status) for method, status, *_ in first} == {("POST", 503), ("GET", 200)}
    assert max(seconds for *_, seconds in first) < 5 + _ROOM
    assert {status for _, status, *_ in later} == {503}
    assert max(seconds for *_, seconds in later) < 1 + _ROOM
    until(lambda: service.app.post("/notes", status="*").status_int == 200)


def test_a_long_commit_is_not_cut(pair, urls, notes, new_service):
    """A commit that has much to do (a deferred constraint) ends as it would: others are finished meanwhile."""
    pair.primary.execute("""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(8); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()
    """)
    try:
        service = new_service(notes, **urls())
        service.app.post("/notes")
        assert service.database.primary.available
    finally:
        pair.primary.execute("DROP TRIGGER slow ON note; DROP FUNCTION slow()")


class _TlsFront:
    """A server that speaks TLS with PostgreSQL's clients and passes on what they say, as the tests' server has none."""

    def __init__(self, port, folder):
        self._port = port
        self.certificate, key = folder / "cert.pem", folder / "key.pem"
        words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        made = ["openssl", *words, "-addext", "subjectAltName=IP:127.0.0.1", "-out", self.certificate, "-keyout", key]
        subprocess.run(made, check=True, capture_output=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            client.recv(8)  # SSLRequest
            client.sendall(b"S")
            front = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            self.accepted += 1
            back = stack.enter_context(socket.create_connection(("127.0.0.1", self._port)))
            while True:
                ready = [front] if front.pending() else select.select([front, back], [], [])[0]
                for one, other in ((front, back), (back, front)):
                    if one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        other.sendall(data)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


# pg8000 leaves the socket of a connection whose server died to the collector.
@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_pg8000_over_tls(pair, new_service, tmp_path, until, eighty, caplog):
    """Who waits for a server over TLS is freed, too: the driver's socket is not libpq's."""
    front = _TlsFront(pair.primary.port, tmp_path)
    urls = eighty()
    context = ssl.create_default_context(cafile=front.certificate)
    database = Database(
        url=urls["sqlalchemy.url"].replace(str(pair.primary.port), str(front.port)),
        replica_urls=(urls["sqlalchemy_slave.url"],),
        options={"connect_args": {"ssl_context": context}},
        replica_options={},
    )

    def set_up(config):
        config.add_database(database)
        config.add_route("notes", "/notes")
        statement = text("INSERT INTO note (text) VALUES ('x')")
        config.add_view(
            lambda request: request.dbsession.execute(statement).rowcount, route_name="notes", renderer="json"
        )

    service = new_service(set_up)
    with contextlib.closing(front):
        service.app.post("/notes")
        assert front.accepted == 1
        clients = _Clients(service.app.app)
        with pair.primary.paused():
            clients.ask("POST", 3)
            first = clients.join()
        assert {(status, after) for _, status, after, _ in first} == {(503, "1")}
        assert max(seconds for *_, seconds in first) < 5 + _ROOM
        until(lambda: service.app.post("/notes", status="*").status_int == 200)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_position_is_asked_for_a_second(pair, urls, new_service, driver):
    """A primary that hangs right after a commit does not hold the answer: the write is done, and said to be."""

    def set_up(config):
        init(config, "sqlalchemy", "sqlalchemy_slave")

        def write(request):
            request.dbsession.execute(text("INSERT INTO note (text) VALUES ('x')"))
            primary = service.database.primary
            ask = primary.position_after_commit

            def hang(connection):
                pair.primary.pause()
                return ask(connection)

            primary.position_after_commit = hang
            return "done"

        config.add_route("write", "/write")
        config.add_view(write, route_name="write", renderer="string")

    service = new_service(set_up, **urls(driver))
    started = time.monotonic()
    try:
        answer = service.app.post("/write")
        assert time.monotonic() - started < 1 + _ROOM
    finally:
        pair.primary.resume()
    assert answer.text == "done"
    assert "/" not in answer.headers["X-C2C-DB-LSN"].split()[0][:12]  # a time window instead
    assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]


def test_a_script_waits(pair):
    """What has no requests waits for a server as long as it takes: it is not cut, and its work is not lost."""
    session = create_session(None, "script", pair.primary.url, pair.replica.url)
    session.execute(text("INSERT INTO note (text) VALUES ('x')"))
    threading.Timer(8, pair.primary.resume).start()
    pair.primary.pause()
    import transaction

    transaction.commit()
    assert pair.primary.execute("SELECT count(*) FROM note") == [(1,)]
    session.remove()
    session.database.close()


def test_engines_refuse_too(pair, urls, notes, new_service, until):
    """Who uses the engine itself is refused at once, too, while it is known to hang."""
    service = new_service(notes, **urls())
    service.app.post("/notes")
    with pair.primary.paused():
        service.app.post("/notes", status=503)
        started = time.monotonic()
        with pytest.raises(UnavailableError), service.database.primary.engine.connect():
            pass
        assert time.monotonic() - started < 1 + _ROOM
    until(lambda: service.app.post("/notes", status="*").status_int == 200)


def test_both_hang(pair, urls, notes, new_service, until):
    """Who waits for a replica does not wait for the primary after that: it is asked meanwhile, unused as it is."""
    service = new_service(notes, **urls())
    reader, marked = TestApp(service.app.app), TestApp(service.app.app)
    marked.post("/notes")
    reader.get("/notes")
    primary = service.database.primary
    until(lambda: not primary.records)
    waiting, doubt = [], primary.doubt

    def doubted(now):
        waiting.append(len(primary.records))
        doubt(now)

    primary.doubt = doubted
    clients = _Clients(service.app.app)
    with pair.primary.paused(), pair.replica.paused():
        clients.ask("GET", 3)
        clients.ask("GET", 1, marked)
        first = clients.join()
        assert waiting[0] == 0  # nobody had come to it yet
        assert primary.hangs
        clients.ask("GET", 3)
        later = clients.join()
    assert {(status, after) for _, status, after, _ in (*first, *later)} == {(503, "1")}
    assert max(seconds for *_, seconds in first) < 5 + _ROOM
    assert max(seconds for *_, seconds in later) < 1 + _ROOM
    until(lambda: service.app.get("/notes", status="*").status_int == 200)


def test_who_connects_is_freed_too(pair, urls, notes, new_service, until):
    """Who connects to a server waits no longer than until it is known to hang, whatever the driver would do."""
    more = {"sqlalchemy.connect_args": {"connect_timeout": 120}, "c2c.db.primary_timeout": "100"}
    service = new_service(notes, **urls(), **more)
    primary = service.database.primary
    clients = _Clients(service.app.app)
    connecting = f"c2c_db connect {primary.name}"
    with pair.primary.paused():
        clients.ask("POST")
        until(lambda: any(thread.name == connecting for thread in threading.enumerate()))
        primary.silent_since = primary.alive_at = time.monotonic() - 60
        [(_, status, *_, seconds)] = clients.join()
    assert status == 503
    assert seconds < 5 + _ROOM


def test_who_waits_for_a_replica_is_not_forgotten(pair, urls, notes, new_service, until):
    """A read that waits for a replica is freed, however often that is asked and though nobody else comes."""
    service = new_service(notes, **urls())
    [replica] = service.database.replicas.all
    service.app.get("/notes")
    with pair.replica.paused():
        clients = _Clients(service.app.app)
        clients.ask("GET")
        until(lambda: replica.silent_since is not None)
        until(lambda: replica.asker.wake() and clients.answers)
    assert [status for _, status, *_ in clients.join()] == [200]
