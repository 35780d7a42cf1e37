"""The core without servers: routing, URLs, positions, marks, tokens, states, statements."""

import re
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from webob import Request, Response

from c2c_broadcast import ConfigurationError
from c2c_db import DbSettings, ReplicaStatus, Role, State, _session, route_name
from c2c_db._engines import hosts_of, one_url_a_host, open_engine, parse_url
from c2c_db._failures import Failure, UnavailableError, failure_of, sqlstate
from c2c_db._marks import LIFETIME, Mark, Tokens, Written, brings_marks, format_lsn, later, merge, tell
from c2c_db._replica import FRESH, LONGEST_INTERVAL, Observation, Replica
from c2c_db._scope import decide, make_rules
from c2c_db._server import Primary
from c2c_db._session import Effect, effect_of, is_plain_read
from c2c_testing.servers import free_port


def test_positions_are_written_as_postgresql_does():
    """The example of PostgreSQL's documentation."""
    assert format_lsn(0x16B374D848) == "16/B374D848"
    assert format_lsn(0) == "0/0"


@pytest.mark.parametrize(
    ("method", "path", "route", "expected"),
    [
        ("GET", "/api/a", None, Role.REPLICA),
        ("HEAD", "/api/a", None, Role.REPLICA),
        ("OPTIONS", "/api/a", None, Role.REPLICA),
        ("POST", "/api/a", None, Role.PRIMARY),
        ("PROPFIND", "/api/a", None, Role.PRIMARY),
        ("get", "/api/a", None, Role.PRIMARY),
        ("GET", "/api/fresh/1", None, Role.PRIMARY),
        ("GET", "/other/api/fresh", None, Role.REPLICA),
        ("POST", "/api/search", None, Role.REPLICA),
        ("POST", "/api/both", None, Role.PRIMARY),
        ("GET", "/api/a", "exact", Role.PRIMARY),
        ("POST", "/api/a", "counted", Role.REPLICA),
    ],
)
def test_decide(method, path, route, expected):
    """By method; but patterns match at the start of "METHOD path", routes by name, and force_master wins."""
    rules = make_rules(
        ["GET /api/fresh", re.compile("POST .*both"), route_name("exact")],
        ["POST /api/(search|both)", route_name("counted")],
    )
    assert decide(rules, f"{method} {path}", route).role is expected


@pytest.mark.parametrize("conditions", ["GET /", ["GET /("], [b"GET /"], [re.compile(b"GET")], [None]])
def test_bad_patterns(conditions):
    """What is no pattern stops the start-up, and the message names it and the parameter."""
    with pytest.raises(ConfigurationError, match=r"force_slave.*"):
        make_rules(None, conditions)


@pytest.mark.parametrize(
    ("url", "installed", "expected"),
    [
        ("postgresql://u:p@h/d", {"psycopg2"}, "psycopg2"),
        ("postgresql://u:p@h/d", {"psycopg"}, "psycopg"),
        ("postgres://u:p@h/d", {"psycopg2"}, "psycopg2"),
        ("postgresql://u:p@h/d", {"psycopg", "psycopg2"}, make_url("postgresql://").get_dialect().driver),
        ("postgresql+psycopg2://u:p@h/d", {"psycopg"}, "psycopg2"),
        ("postgresql+psycopg://u:p@h/d", {"psycopg2"}, "psycopg"),
    ],
)
def test_driver(url, installed, expected):
    """A URL without a driver means the one that is installed; an explicit one is kept."""
    assert parse_url(url, "sqlalchemy.url", installed.__contains__).get_dialect().driver == expected


def test_no_driver():
    """Without a driver the error says what to install."""
    with pytest.raises(ConfigurationError, match=r"sqlalchemy.url: no driver .*c2c-db\[psycopg2\]"):
        parse_url("postgresql://h/d", "sqlalchemy.url", lambda _name: False)


def test_several_hosts():
    """Both ways to write several hosts are read; each host becomes a URL of its own, with login and options."""
    for text_url in (
        "postgresql+psycopg://u:p@h1:5433,h2,[::1]:5434/d?sslmode=disable",
        "postgresql+psycopg://u:p@/d?host=h1:5433&host=h2&host=[::1]:5434&sslmode=disable",
    ):
        url = parse_url(text_url, "x")
        assert hosts_of(url) == ("h1:5433", "h2", "[::1]:5434")
        assert [one.render_as_string(hide_password=False) for one in one_url_a_host(url)] == [
            "postgresql+psycopg://u:p@h1:5433/d?sslmode=disable",
            "postgresql+psycopg://u:p@h2/d?sslmode=disable",
            "postgresql+psycopg://u:p@[::1]:5434/d?sslmode=disable",
        ]
    url = parse_url("postgresql+psycopg://u@/d?host=h1,h2&port=1,2", "x")
    assert [(one.host, one.port) for one in one_url_a_host(url)] == [("h1", 1), ("h2", 2)]
    [one] = one_url_a_host(parse_url("postgresql+psycopg://u:p@h1/d", "x"))
    assert one.host == "h1"


@pytest.mark.parametrize("url", ["", "localhost", "postgresql:/x", "postgresql://u:hunter2@h:port/d"])
def test_bad_url(url):
    """What is no URL is an error that names the setting and shows no password."""
    with pytest.raises(ConfigurationError, match=r"^my\.url: ") as error:
        parse_url(url, "my.url")
    assert "hunter2" not in str(error.value)


class _DriverError(Exception):
    sqlstate = None


def _driver_error(state, text="x"):
    error = _DriverError(text)
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("kind", "statement", "state", "text", "failure"),
    [
        (OperationalError, "SELECT 1", "40001", "conflict with recovery", Failure.CONFLICT),
        (OperationalError, "SELECT 1", "40001", "could not serialize access", None),
        (OperationalError, "SELECT 1", "55P03", "recovery", None),
        (OperationalError, "SELECT 1", "57P01", "x", Failure.LOST),
        (OperationalError, "SELECT 1", "25006", "x", Failure.READ_ONLY),
        (OperationalError, "SELECT 1", None, "x", None),
        (OperationalError, None, None, "x", Failure.LOST),
        (InterfaceError, None, "08006", "x", Failure.LOST),
        (OperationalError, None, "40P01", "a commit that fails", None),
        (ProgrammingError, None, None, "x", None),
    ],
)
def test_what_an_error_says_of_the_server(kind, statement, state, text, failure):
    """It ended, takes no writes, has no connection, or was in the way of replay; all else is about the statement."""
    assert failure_of(kind(statement, {}, _driver_error(state, text))) is failure
    assert sqlstate(_driver_error(None, {"C": state})) == state, "as pg8000 says it"


def test_an_error_that_is_a_503():
    """It has the message that it was given, and says to try again in a second."""
    error = UnavailableError("not now")
    assert (str(error), error.retry_after, error.http_status) == ("not now", 1, 503)
    assert str(UnavailableError("later", 60)) == "later"


def test_marks():
    """The later mark is the one that asks for more."""
    low, high, window = Mark(1, 10.0), Mark(2, 5.0), Mark(None, 7.0)
    assert later(low, high) is high
    assert later(None, low) is low
    assert later(low, None) is low
    assert later(low, window) is low
    assert later(high, window) is window
    assert merge({"a": low}, [("a", high), ("b", window)]) == {"a": high, "b": window}


def test_tokens():
    """A token is read by whoever has the secret, for its lifetime, and only as it was signed."""
    now = [1000.0]
    one, two, stranger = (Tokens(secret, lambda: now[0]) for secret in ("s", "s", "t"))
    marks = {"sqlalchemy": Mark(2**64 - 1, 1000.0), "other": Mark(None, 999.0)}
    token = one.sign(marks)
    assert two.read(token) == marks
    assert stranger.read(token) == {}
    for broken in (token[:-1], token + "A", token[::-1], "", "é", "A" * 2000):
        assert two.read(broken) == {}
    assert one.read(one.sign({"s" * 2000: Mark(1, 1000.0)})) == {}  # longer than any of ours
    assert one.read(one.sign({"a": Mark(2**64, 1000.0), "b": Mark(-1, 1000.0), "c": Mark(True, 1000.0)})) == {}
    now[0] += LIFETIME
    assert two.read(token) == {}
    assert two.read(one.sign({"a": Mark(1, now[0] + 60)})) == {}


def test_what_counts_as_a_mark():
    """A position of 64 bits or none, from 5 seconds ahead of this host's clock to 600 behind it."""
    tokens = Tokens("s", lambda: 1000.0)
    sane = {
        "least": Mark(0, 1000.0),
        "most": Mark(2**64 - 1, 400.1),
        "none": Mark(None, 1005.0),
        "one": Mark(1, 1000.0),
    }
    for name, mark in sane.items():
        others = {"old": Mark(1, 400.0), "early": Mark(1, 1005.1), "true": Mark(True, 1000.0)}
        assert tokens.read(tokens.sign({name: mark, **others})) == {name: mark}
    many = {str(number): Mark(number, 1000.0 - number) for number in range(9)}
    assert tokens.read(tokens.sign(many)) == {str(number): many[str(number)] for number in range(4)}, "the latest four"
    one, other = Mark(1, 10.0), Mark(1, 10.0)
    assert later(one, other) is one
    assert later(Mark(None, 10.0), one).position is None


def test_tokens_of_other_versions():
    """Key, signature and content stay as they are: workers of two releases, side by side, read each other's."""
    tokens = Tokens("a secret", lambda: 1000.0)
    assert tokens.cookie == "c2c_db_lsn_bdf41a8e"
    assert tokens.read(
        "mcAzdKtiWrA5RQ2WKrIEO4nv31A4b9J8E1HUUDSxNgHz1k2k_4Y4vTYPgsZxrvpGh4Du1hYPQKmw0WetAjfxEXsib3RoZXIiOiBb"
        "bnVsbCwgOTk5LjVdLCAic3FsYWxjaGVteSI6IFsxODQ0Njc0NDA3MzcwOTU1MTYxNSwgMTAwMC4wXX0"
    ) == {"sqlalchemy": Mark(2**64 - 1, 1000.0), "other": Mark(None, 999.5)}


def test_marks_of_a_request():
    """Of all cookies of ours, at most 4, and all words of the header, at most 8, the later mark counts."""
    tokens = Tokens("s", lambda: 1000.0)
    cookie, low, high = tokens.cookie, tokens.sign({"a": Mark(1, 1000.0)}), tokens.sign({"a": Mark(2, 1000.0)})
    other = tokens.sign({"b": Mark(3, 1000.0)})
    assert tokens.of_request({}) == {}
    assert tokens.of_request({"HTTP_COOKIE": f'x=1; {cookie}={low};{cookie}="{high}"; {cookie}={low}'}) == {
        "a": Mark(2, 1000.0)
    }
    assert tokens.of_request({"HTTP_COOKIE": f"{cookie}_x={low}; x{cookie}={low}"}) == {}
    assert tokens.of_request({"HTTP_COOKIE": f"{cookie}={low}", "HTTP_X_C2C_DB_LSN": f"0/1 {high} 0/2 {other}"}) == {
        "a": Mark(2, 1000.0),
        "b": Mark(3, 1000.0),
    }
    for number, found in ((3, {"b": Mark(3, 1000.0)}), (4, {})):
        assert tokens.of_request({"HTTP_COOKIE": f"{cookie}=x; " * number + f"{cookie}={other}"}) == found
    for number, found in ((7, {"b": Mark(3, 1000.0)}), (8, {})):
        assert tokens.of_request({"HTTP_X_C2C_DB_LSN": "x " * number + other}) == found
    carry = [{"HTTP_COOKIE": f"{cookie}={low}"}, {"HTTP_X_C2C_DB_LSN": "0/1"}, {"HTTP_COOKIE": "a=b"}, {}]
    assert [brings_marks(one) for one in carry] == [True, True, False, False]


def test_what_a_client_is_told(caplog):
    """A cookie a secret, with what it brought, and a header of the first position and all tokens; or it is said why."""
    ours, theirs = (Tokens(secret, lambda: 1000.0) for secret in "st")
    brought = ours.sign({"c": Mark(7, 999.0)})
    written = [Written(ours, "a", Mark(2**32, 1000.0)), Written(theirs, "t", Mark(None, 1000.0))]
    written.append(Written(ours, "b", Mark(5, 1000.0)))
    for scheme in ("http", "https"):
        response = Response()
        tell(Request.blank(f"{scheme}://h/", cookies={ours.cookie: brought}), response, written)
        position, *tokens = response.headers["X-C2C-DB-LSN"].split()
        assert position == "1/0"
        assert [one.read(token) for one, token in zip((ours, theirs), tokens, strict=True)] == [
            {"a": Mark(2**32, 1000.0), "b": Mark(5, 1000.0), "c": Mark(7, 999.0)},
            {"t": Mark(None, 1000.0)},
        ]
        cookies = [one.split("; ") for one in response.headers.getall("Set-Cookie")]
        assert [one[0] for one in cookies] == [f"{ours.cookie}={tokens[0]}", f"{theirs.cookie}={tokens[1]}"]
        for one in cookies:
            assert {"Max-Age=600", "Path=/", "HttpOnly", "SameSite=Lax"} < set(one)
            assert ("secure" in one) is (scheme == "https")
    tell(Request.blank("/"), object(), written)
    assert "A client can't be told what it wrote" in caplog.text


@settings(deadline=None)  # the first call draws the key
@given(st.text(max_size=200))
def test_any_token(token):
    """Whatever a client sends as a token, it is read as nothing, without an error."""
    assert _TOKENS.read(token) == {}


_TOKENS = Tokens("secret")


class _Replica:
    """A replica that no thread asks, whose server is not there, and the clock by which it goes."""

    def __init__(self, clock, max_lag=None):
        self._clock = clock
        self.told = []
        url = parse_url(f"postgresql+psycopg2://u@127.0.0.1:{free_port()}/d", "x")
        primary, replica = (open_engine(url, name, {}, writable=False) for name in ("one", "two"))
        self.replica = Replica(Primary(primary, self.told.append, None), replica, None, DbSettings(max_lag=max_lag))

    def saw(self, now, received=None, replayed=None, age=None, **more):
        """Take a probe's answer at this time; return state and lag."""
        self._clock.now = now
        self.replica.observed(Observation(received=received, replayed=replayed, replayed_age=age, **more))
        return self.replica.state, self.replica.status.lag

    def at(self, now):
        """Return the state at this time."""
        self._clock.now = now
        return self.replica.state

    def asked(self):
        """Ask the server, as the thread does where somebody looked; return in how many seconds it is asked again."""
        self.replica._traffic = True
        return self.replica.ask_now()


@pytest.fixture
def new_replica(monkeypatch):
    """Give a function that makes one: ``new_replica(max_lag=None)``."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("c2c_db._replica.time", SimpleNamespace(monotonic=lambda: clock.now, time=lambda: clock.now))
    return lambda max_lag=None: _Replica(clock, max_lag)


def test_a_connection_that_comes_at_the_last_moment(monkeypatch):
    """Between the end of the wait and the look whether it is there: it is closed, as nobody takes it."""
    asked, closed = threading.Event(), threading.Event()

    class Waited(Future):
        def result(self, timeout=None):
            if timeout != 0:
                return super().result(timeout)
            asked.set()
            super().result(60)
            raise TimeoutError

    monkeypatch.setattr("c2c_db._server.Future", Waited)
    url = parse_url(f"postgresql+psycopg2://u@127.0.0.1:{free_port()}/d", "x")
    primary = Primary(open_engine(url, "one", {}, writable=True), [].append, 0.1)
    monkeypatch.setattr(primary, "connect", lambda *_: asked.wait(60) and SimpleNamespace(close=closed.set))
    with pytest.raises(primary.engine.dialect.loaded_dbapi.OperationalError):
        primary._connects(None, object(), [], {})
    assert closed.wait(60)


def test_a_primary_that_nobody_could_ask(new_replica, monkeypatch):
    """Without a thread it is not called away: nobody would find out that it is back."""
    primary = new_replica().replica._primary
    monkeypatch.setattr(primary.asker, "wake", lambda: False)
    primary.failed("refused")
    assert not primary.is_away
    monkeypatch.setattr(primary.asker, "wake", lambda: True)
    primary.failed("refused")
    assert primary.is_away


def test_without_a_thread_to_ask(new_replica, monkeypatch):
    """Where the system has no thread to give nobody waits for an answer, and the next reader tries again."""
    replica, tries = new_replica().replica, []
    monkeypatch.setattr(replica.asker, "wake", lambda: bool(tries.append(1)))
    begin = time.monotonic()
    assert {replica.look() for _ in range(30)} == {State.UNKNOWN}
    assert time.monotonic() - begin < 20
    assert len(tries) == 30


def test_states(new_replica):
    """Unknown until probed, usable, lagging by age or receiver, a primary, offline; old knowledge is none."""
    one = new_replica(max_lag=10)
    assert one.at(0) is State.UNKNOWN
    assert one.saw(1, 5, 5, 3600) == (State.USABLE, 0)  # an idle primary is no lag
    assert one.at(1 + FRESH) is State.USABLE
    assert one.at(1 + FRESH + 0.1) is State.UNKNOWN
    assert one.saw(2, 5, 5, receiver=False)[0] is State.LAGGING
    assert one.saw(30, 9, 5, 60) == (State.LAGGING, 28)
    assert one.saw(31, 9, 9, 60)[0] is State.USABLE
    assert one.saw(32, in_recovery=False)[0] is State.NOT_A_REPLICA
    one.at(33)
    one.replica.failed("gone\nfor good")
    assert one.at(1000) is State.OFFLINE
    assert one.replica.status == ReplicaStatus("two", State.OFFLINE, None, 33, "gone for good")


def test_lag_is_the_lower_bound_of_two(new_replica):
    """A commit after an idle hour is no hour of lag; nor is what was received a second ago."""
    one = new_replica()
    one.saw(10, 100, 100, 3600)
    assert one.saw(11, 200, 100, 3601) == (State.USABLE, 1.0)
    assert one.saw(12, 300, 150, 0.2) == (State.USABLE, 0.2)
    assert new_replica().saw(1, 200, 100, 7) == (State.USABLE, 7)


def test_intervals_grow_and_are_forgotten(new_replica):
    """A replica that does not answer is left alone for growing intervals, up to a limit; an answer ends that."""
    one = new_replica()
    assert [one.asked() for _ in range(7)] == [1, 2, 4, 8, LONGEST_INTERVAL, LONGEST_INTERVAL, LONGEST_INTERVAL]
    one.saw(8, 1, 1)
    assert one.asked() == 1


def test_many_failing_requests_are_one_failure(new_replica):
    """Requests that fail at the same time do not lengthen the interval: only probes do."""
    one = new_replica()
    for _ in range(20):
        one.replica.failed("refused")
    assert one.asked() == 2  # theirs, and the probe's


def test_silence(new_replica):
    """A probe without an answer makes its replica unknown, though it was usable a moment ago."""
    one = new_replica()
    assert one.saw(0, 1, 1)[0] is State.USABLE
    one.replica.silent_since = time.monotonic() - 60
    assert one.at(0.5) is State.UNKNOWN
    assert one.replica.status.reason == "it does not answer"


def test_rebuilt_replica(new_replica):
    """A replica that went back (rebuilt from a backup) is not credited with what it had before."""
    one = new_replica()
    one.saw(0, 500, 500)
    assert one.replica.has(Mark(500, 0))
    one.saw(1, 100, 90)
    assert not one.replica.has(Mark(91, 0))
    assert one.replica.has(Mark(90, 0))


def test_what_is_told_of_a_replica(new_replica):
    """Each probe is told, and each change of state; requests that fail tell of the change only."""
    one = new_replica()
    one.saw(1, 5, 5)
    one.saw(2, 5, 5)
    for _ in range(3):
        one.replica.failed("refused")
    kinds = [(type(event).__name__, getattr(event, "state", None) or event.after) for event in one.told]
    assert kinds == [
        ("StateChanged", "usable"),
        ("ReplicaStatus", "usable"),
        ("ReplicaStatus", "usable"),
        ("StateChanged", "offline"),
    ]


@pytest.mark.parametrize(
    ("effect", "texts"),
    [
        (
            Effect.WRITES,
            [
                "INSERT INTO a VALUES (1)",
                "\n update a set b=1",
                "create table a()",
                "-- why\n /* how */ INSERT INTO a VALUES (1)",
                "/* 1 */" * 5_000 + "INSERT INTO a VALUES (1)",
                "SET LOCAL statement_timeout = 5000; INSERT INTO jobs VALUES (1)",
                "SELECT 1; DELETE FROM jobs WHERE id = 0",
                "SELECT ';'; ; ((INSERT INTO a VALUES (1)))",
                "COPY a FROM STDIN",
                "SELECT 1; COMMIT",
            ],
        ),
        (
            Effect.UNSURE,
            [
                "WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x",
                "with x as (insert into a values (1) returning *) select * from x",
                "SELECT * INTO copy FROM jobs",
                "SELECT PG_NOTIFY('a', 'b')",
                "SELECT pg_notify ('a', 'b')",
                'SELECT "pg_notify"(1)',
                "SELECT mine.count(1)",
                "SELECT a FROM t WHERE a = f  (%(a)s)",
                "SELECT nextval('a') FROM b",
                "CALL f()",
                "DO $$ PERFORM f() $$",
                "NOTIFY a",
                "EXPLAIN ANALYZE DELETE FROM a",
                "EXPLAIN (ANALYZE) EXECUTE prepared",
                "EXECUTE prepared",
                "LOCK TABLE a",
                "SELECT * FROM a FOR UPDATE",
                "SELECT $a$ ; $a$",
                "SELECT E'\\' , '",
                "/* /* */ SELECT ' */ DELETE FROM a --'",
                "/*! DELETE FROM a */ SELECT 1",
                'SELECT "a\'", f(1), "\'"',
            ],
        ),
        (
            Effect.READS,
            [
                "",
                ";",
                "SELECT 1",
                "SELECT 1;",
                "SELECT now(); SELECT 1",
                "WITH updates AS (SELECT 1) SELECT * FROM updates",
                "SET LOCAL x = 1",
                "SHOW x",
                "SELECT 'INSERT', '; DELETE FROM a', '--', '/*', 'f(1)'",
                "SELECT 'it''s; DELETE FROM a'",
                "/* INSERT INTO a */ SELECT 1",
                "/* a * b / c **/ SELECT 1 -- ; DELETE FROM a",
                "-- INSERT\n(SELECT 1) UNION (SELECT 2)",
                "EXPLAIN SELECT 1",
                "PRAGMA foreign_keys = ON",
                "VALUES (1)",
                "SELECT a FROM t WHERE a = %(a)s AND b > (1) AND c = %(c)s::VARCHAR",
                "((SELECT 1))",
                "SELECT count(*), COALESCE(max (a), 1) FROM a WHERE b IN (1, 2) AND c = ANY(%(c)s)",
            ],
        ),
    ],
)
def test_effects(effect, texts):
    """What a text does is known, or in doubt; what writes is never taken for a read, nor a plain read for more."""
    assert Effect.READS < Effect.UNSURE < Effect.WRITES
    for sql in texts:
        assert effect_of(sql) is effect, sql


def test_plain_reads():
    """Plain reads leave nothing behind in the server's session; settings, locks and unknown functions may."""
    for sql in ("SELECT a, f(b) FROM note", "SELECT pg_is_in_recovery()", "SELECT 1;"):
        assert is_plain_read(sql)
    for sql in (
        "SET LOCAL x = 1",
        "SELECT set_tenant(5)",
        "SELECT set_config('a', 'b', true) FROM note",
        "SELECT pg_advisory_lock(1)",
        "SELECT * FROM note FOR UPDATE",
        "SELECT 1; SET x = 1",
        "DECLARE c CURSOR FOR SELECT 1",
    ):
        assert not is_plain_read(sql)


def test_long_texts_are_not_remembered():
    """What is known of a text is kept for short ones, of which there are few: memory has a bound."""
    remembered = (_session._short_effect_of, _session._is_plain_read)
    for function in remembered:
        function.cache_clear()
        assert function.cache_info().maxsize * 8_000 < 5_000_000
    short, long = "SELECT 1" + " " * 7_992, "SELECT 1" + " " * 7_993
    assert effect_of(long) is Effect.READS
    assert not is_plain_read(long)
    assert [function.cache_info().currsize for function in remembered] == [0, 0]
    assert effect_of(short) is Effect.READS
    assert is_plain_read(short)
    assert [function.cache_info().currsize for function in remembered] == [1, 1]


_UNITS = [
    *("a", "A", "0", "_", "a_", "é", " ", "\n", "\t", ".", ",", ";", ":", "-", "--", "/", "/*", "*/", "/*/", "*", "("),
    *(")", "()", "'", "''", '"', "\\", "\\'", "$", "$$", "$a$", "%", "E'", "key-", "://a:", "a.", "a (", "( a", "1a"),
    *("SELECT ", "FROM ", "FOR ", "INSERT ", "INSERT INTO ", "WITH a AS (", "0103ABCDEF", "f(", "-- \n", "/* */ "),
]


@pytest.mark.parametrize("end", ["", "!"])
@pytest.mark.parametrize("start", ["", "SELECT ", "SELECT '", "WITH ", "/*", "("])
def test_texts_of_any_length_are_read_once(start, end):
    """Classifying takes time in proportion to a text's length, whatever is repeated in it: no pattern tries again."""
    for unit in _UNITS:
        sql = start + unit * (20_000 // len(unit)) + end
        started = time.process_time()
        effect_of(sql)
        is_plain_read(sql)
        assert time.process_time() - started < 2, unit  # a quadratic pattern takes ten times as long
