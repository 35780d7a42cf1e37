"""A client reads what it wrote, whatever the replica has: by WAL position, on a real pair."""

import os
import time

from sqlalchemy import text
from webtest import TestApp

_PAIRS = int(os.environ.get("PAIRS", "100"))  # 10,000 by hand: all must be fresh


def test_writer_reads_its_writes_from_a_paused_replica(pair, urls, notes, new_service, driver, until):
    """With replay paused, the writer reads from the primary what it wrote; others read on from the replica."""
    service = new_service(notes, **urls(driver))
    writer, other = TestApp(service.app.app), TestApp(service.app.app)
    with pair.replay_paused():
        written = writer.post("/notes")
        assert written.json["server"] == "primary"
        assert writer.get("/notes").json == {"count": 1, "server": "primary"}
        assert other.get("/notes").json == {"count": 0, "server": "replica"}
    until(lambda: writer.get("/notes").json == {"count": 1, "server": "replica"})
    assert service.decisions["sqlalchemy", "not yet replayed"] >= 1


def test_no_stale_read(pair, urls, notes, new_service):
    """Of many write-then-read pairs with a replica 200 ms late none is stale, and another client stays on it."""
    service = new_service(notes, **urls())
    writer, other = TestApp(service.app.app), TestApp(service.app.app)
    pair.set_lag(0.2)
    servers = set()
    for number in range(1, _PAIRS + 1):
        writer.post("/notes")
        seen = writer.get("/notes").json
        assert seen["count"] == number
        servers.add(other.get("/notes").json["server"])
    assert servers == {"replica"}


def test_the_wait_is_paid_once(pair, urls, notes, new_service):
    """A paused replica is asked and waited for once, not by each read."""
    service = new_service(notes, **urls())
    [replica] = service.database.replicas.all
    beside, asked = replica.beside, []

    def ask(connection):
        asked.append(connection)
        return beside(connection)

    replica.beside = ask
    with pair.replay_paused():
        service.app.post("/notes")
        for _ in range(50):
            assert service.app.get("/notes").json["server"] == "primary"
    assert len(asked) == 1


def test_header_does_what_the_cookie_does(pair, urls, notes, new_service):
    """A client without cookies sends the header back; it begins with the position."""
    service = new_service(notes, **urls())
    with pair.replay_paused():
        header = service.app.post("/notes").headers["X-C2C-DB-LSN"]
        position = header.partition(" ")[0]
        assert pair.primary.execute("SELECT %s::pg_lsn <= pg_current_wal_lsn()", [position]) == [(True,)]
        client = TestApp(service.app.app)
        assert client.get("/notes").json["server"] == "replica"
        assert client.get("/notes", headers={"X-C2C-DB-LSN": header}).json == {"count": 1, "server": "primary"}


def test_another_process_honours_the_token(pair, urls, notes, new_service):
    """The token of one process holds in another, of the same URLs or the same secret; not with another secret."""
    with pair.replay_paused():
        for secret in ({}, {"c2c.secret": "one-long-enough-secret"}):
            one, two = (new_service(notes, **urls(), **secret) for _ in range(2))
            stranger = new_service(notes, **urls(), **{"c2c.secret": "another-long-enough-secret"})
            header = one.app.post("/notes").headers["X-C2C-DB-LSN"]
            assert two.app.get("/notes", headers={"X-C2C-DB-LSN": header}).json["server"] == "primary"
            assert stranger.app.get("/notes", headers={"X-C2C-DB-LSN": header}).json["server"] == "replica"


def test_forged_tokens_are_ignored(pair, urls, notes, new_service):
    """A position without our signature, a broken token, or nonsense changes nothing: the replica answers."""
    service = new_service(notes, **urls())
    real = service.app.post("/notes").headers["X-C2C-DB-LSN"]
    pair.wait_caught_up()
    position, token = real.split(" ")
    forged = [
        "FFFFFFFF/FFFFFFFF",
        position,
        f"{position} {token[:-4]}AAAA",
        f"{position} {token}x",
        "x" * 5000,
        "é",
        " ",
    ]
    for header in forged:
        client = TestApp(service.app.app)
        assert client.get("/notes", headers={"X-C2C-DB-LSN": header}).json["server"] == "replica"
    client.set_cookie("c2c_db_lsn", "nonsense")
    assert client.get("/notes").json["server"] == "replica"


def test_the_cookie(pair, urls, notes, new_service):
    """The cookie is short-lived, for the server only, and set only by an answer to a committed write."""
    service = new_service(notes, **urls())
    cookie = service.app.post("/notes").headers["Set-Cookie"]
    for part in ("Max-Age=600", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    assert "secure" not in cookie.lower()
    assert "secure" in service.app.post("/notes", extra_environ={"wsgi.url_scheme": "https"}).headers["Set-Cookie"]
    assert "Set-Cookie" not in service.app.get("/notes").headers
    assert "X-C2C-DB-LSN" not in service.app.get("/notes").headers


def test_a_time_window_instead(pair, urls, notes, new_service):
    """A number of seconds keeps the client on the primary for so long, without a position; off does nothing."""
    with pair.replay_paused():
        seconds = new_service(notes, **urls(), **{"c2c.db.read_your_writes": "1.5"})
        written = seconds.app.post("/notes")
        assert "/" not in written.headers["X-C2C-DB-LSN"].split(" ")[0][:12]
        assert seconds.app.get("/notes").json["server"] == "primary"
        time.sleep(1.6)
        assert seconds.app.get("/notes").json["server"] == "replica"
        off = new_service(notes, **urls(), **{"c2c.db.read_your_writes": "off"})
        assert "X-C2C-DB-LSN" not in off.app.post("/notes").headers
        assert off.app.get("/notes").json["server"] == "replica"


def test_no_permission_for_positions(pair, urls_of_role, notes, new_service, caplog):
    """Where the user may not ask for the position, two seconds on the primary do; the log says so once."""
    pair.primary.execute("REVOKE EXECUTE ON FUNCTION pg_current_wal_flush_lsn() FROM PUBLIC")
    try:
        service = new_service(notes, **urls_of_role("plain"))
        with pair.replay_paused():
            service.app.post("/notes")
            service.app.post("/notes")
            assert service.app.get("/notes").json == {"count": 2, "server": "primary"}
            assert [r.levelname for r in caplog.records if "No WAL position" in r.message] == ["WARNING"]
            time.sleep(2.1)
            assert service.app.get("/notes").json["server"] == "replica"
    finally:
        pair.primary.execute("GRANT EXECUTE ON FUNCTION pg_current_wal_flush_lsn() TO PUBLIC")


def test_cookies_of_other_applications(pair, urls, notes, new_service):
    """A cookie that another application of the host wrote, in its own way, harms neither reads nor committed writes."""
    service = new_service(notes, **urls())
    with pair.replay_paused():
        mark = service.app.post("/notes").headers["Set-Cookie"].split(";")[0]
        for foreign in (
            'prefs="caf\\351"',
            "prefs=\xff",
            "=",
            ";;",
            "c2c_db_lsn",
            "c2c_db_lsn=",
            "c2c_db_lsn=caf\\351",
        ):
            client = TestApp(service.app.app)
            environ = {"HTTP_COOKIE": f"{foreign}; {mark}; {foreign}"}
            seen = client.get("/notes", extra_environ=environ).json
            assert seen["server"] == "primary"
            client.post("/notes", extra_environ=environ)
            assert client.get("/notes").json["count"] == seen["count"] + 1


def test_an_answer_that_takes_no_cookie(pair, urls, notes, new_service, caplog):
    """What the application gives as response may refuse our header: the write is committed, and answered as such."""
    from pyramid.response import Response

    class Stubborn(Response):
        def set_cookie(self, *_args, **_more):
            raise RuntimeError

    def set_up(config):
        notes(config)
        config.add_route("stubborn", "/stubborn")

        def write(request):
            request.dbsession.execute(text("INSERT INTO note (text) VALUES ('x')"))
            return Stubborn("done")

        config.add_view(write, route_name="stubborn")

    service = new_service(set_up, **urls())
    for _ in range(2):
        assert service.app.post("/stubborn").text == "done"
    assert pair.primary.execute("SELECT count(*) FROM note") == [(2,)]
    assert len([record for record in caplog.records if "can't be told" in record.message]) == 1
