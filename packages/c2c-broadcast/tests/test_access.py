"""Operator access: secret, header, cookie, lock-out, same origin."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from webtest import TestApp

from c2c_broadcast import Credentials, _access, is_auth, settings_of
from c2c_broadcast._access import LIFETIME, MOST_ADDRESSES, Lockout, OperatorCookie
from c2c_broadcast._call import Call
from c2c_broadcast.broadcast import Broadcaster
from c2c_broadcast.operators import operators_of
from c2c_broadcast.process import Process

SECRET = "a-long-enough-secret"
OTHER = "another-long-secret!"
NAME = OperatorCookie(SECRET).name


def make(secret: str | None = SECRET, **settings: str) -> TestApp:
    """Make an application with one operator view, one that changes state, and one that is public."""
    config = Configurator(settings={"c2c.secret": secret or "", **settings})
    config.include("c2c_broadcast")
    config.add_operator_view(lambda request: {"seen": True}, name="closed", path="/closed")
    config.add_operator_view(lambda request: {"done": True}, name="change", path="/change", changes_state=True)
    config.add_operator_view(lambda request: {"auth": is_auth(request)}, name="open", path="/open", public=True)
    return frozen(TestApp(config.make_wsgi_app()))


def frozen(app: TestApp) -> TestApp:
    """Stop the clock of locks: on a busy machine one could be over before the test has seen it."""
    for policy in operators_of(app.app.registry).policies:
        policy.lockout._clock = lambda: 1000.0
    return app


@pytest.fixture
def app() -> TestApp:
    """Give an application with a secret."""
    return make()


def test_nobody_passes_without_the_secret(app: TestApp) -> None:
    """The answer is 403, JSON, never cached, and says how to do it."""
    response = app.get("/c2c/closed", status=403)
    assert response.json["status"] == 403
    assert "X-API-Key" in response.json["message"]
    assert "no-cache" in response.headers["Cache-Control"]
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "ask",
    [
        lambda app: app.get("/c2c/closed", {"secret": SECRET}),
        lambda app: app.post("/c2c/change", {"secret": SECRET}),
    ],
    ids=["query", "form"],
)
def test_the_secret_opens_and_sets_the_cookie(app: TestApp, ask: Callable[[TestApp], Any]) -> None:
    """Each documented way is good, and leaves a cookie that alone is good too."""
    response = ask(app)
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"{NAME}=")
    for part in ("HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={LIFETIME}"):
        assert part.lower() in cookie.lower()
    assert "secure" not in cookie.lower()
    assert SECRET not in cookie
    assert app.get("/c2c/closed").json == {"seen": True}


def test_the_header_opens_and_sets_no_cookie(app: TestApp) -> None:
    """A program that sends the header sends it each time: its cookie jar stays empty."""
    response = app.get("/c2c/closed", headers={"X-API-Key": SECRET})
    assert response.json == {"seen": True}
    assert "Set-Cookie" not in response.headers
    app.get("/c2c/closed", status=403)


def test_the_cookie_is_secure_on_https(app: TestApp) -> None:
    """Over https the cookie never travels in clear."""
    response = app.get("https://localhost/c2c/closed", {"secret": SECRET})
    assert "; secure" in response.headers["Set-Cookie"].lower()


def test_the_cookie_is_random_per_login() -> None:
    """Two log-ins give two cookies: neither is a function of the secret."""
    first, second = (make().get("/c2c/closed", {"secret": SECRET}).headers["Set-Cookie"] for _ in range(2))
    assert first != second


def test_another_process_takes_the_cookie(app: TestApp) -> None:
    """A cookie made by one process is good in each other one with the same secret, and in no other service."""
    app.get("/c2c/closed", {"secret": SECRET})
    value = app.cookies[NAME]
    for secret, status in ((SECRET, 200), (OTHER, 403)):
        fresh = make(secret)
        fresh.set_cookie(NAME, value)
        fresh.get("/c2c/closed", status=status)


@pytest.mark.parametrize(
    "value",
    ["", "x", "x" * 10_000, "é", "%00", '"', "a.b.c", "=====", "W10="],
)
def test_a_bad_cookie_is_as_none(app: TestApp, value: str) -> None:
    """Garbage of any kind and size is a plain 403."""
    response = app.get("/c2c/closed", headers={"Cookie": f"{NAME}={value}".encode().decode("latin-1")}, status=403)
    assert response.json["status"] == 403


def test_a_cut_cookie_is_as_none(app: TestApp) -> None:
    """A cookie that lost its last characters is not good."""
    app.get("/c2c/closed", {"secret": SECRET})
    value = app.cookies[NAME].strip('"')
    app.reset()
    app.get("/c2c/closed", headers={"Cookie": f"{NAME}={value[:-8]}"}, status=403)
    app.get("/c2c/closed", headers={"Cookie": f"{NAME}={value}"}, status=200)


class Jar:
    """The part of a request and response that the cookie's class uses."""

    scheme = "http"

    def __init__(self) -> None:
        self.environ: dict[str, str] = {}

    def set_cookie(self, name: str, value: str, **_: Any) -> None:
        """Keep the cookie."""
        self.environ["HTTP_COOKIE"] = f"{name}={value}"


def test_a_cookie_ends_after_seven_days_and_is_not_of_the_future() -> None:
    """The expiry is inside what is signed: the browser's own date counts for nothing."""
    now = time.time()
    clock = [now]
    cookie = OperatorCookie(SECRET, clock=lambda: clock[0])
    jar = Jar()
    cookie.set(jar, jar, LIFETIME)
    for moved, good in ((0, True), (LIFETIME - 2, True), (LIFETIME + 1, False), (-3600, False)):
        clock[0] = now + moved
        assert (cookie.age(jar) is not None) is good, moved


def test_an_old_cookie_is_refreshed_a_new_one_is_not(app: TestApp) -> None:
    """A cookie in use does not end; not every answer sets it again."""
    app.get("/c2c/closed", {"secret": SECRET})
    assert "Set-Cookie" not in app.get("/c2c/closed").headers
    operators_of(app.app.registry).policies[0].cookie._clock = lambda: time.time() + 2 * 24 * 3600
    assert "Set-Cookie" in app.get("/c2c/closed").headers


def test_an_empty_secret_logs_out(app: TestApp) -> None:
    """The empty secret deletes the cookie, and is no failure."""
    app.get("/c2c/closed", {"secret": SECRET})
    response = app.get("/c2c/open", {"secret": ""})
    assert response.json == {"auth": False}
    assert "max-age=0" in response.headers["Set-Cookie"].lower()
    app.get("/c2c/closed", status=403)


def test_without_a_secret_nobody_is_an_operator() -> None:
    """With none configured, closed views are not there, and no value sent helps."""
    app = make(None)
    for sent in ("", "None", "null"):
        app.get("/c2c/closed", {"secret": sent}, status=404)
        assert app.get("/c2c/open", {"secret": sent}, headers={"X-API-Key": sent}).json == {"auth": False}


@pytest.mark.parametrize(
    "options",
    [
        {"params": b"secret=%FF%FE", "content_type": "application/x-www-form-urlencoded"},
        {"params": b"--x\r\nbroken", "content_type": "multipart/form-data; boundary=x"},
        {"params": b"--x\r\nbroken", "content_type": "multipart/form-data"},
        {"params": b"secret=" + b"x" * 200_000, "content_type": "application/x-www-form-urlencoded"},
        {"params": b"{}", "content_type": "application/json"},
    ],
)
def test_no_body_makes_the_check_raise(app: TestApp, options: dict[str, Any]) -> None:
    """Whatever is sent as a form is a plain 403."""
    app.post("/c2c/change", status=403, **options)


@pytest.mark.parametrize("query", ["secret=%FF", "secret=%", "secret=%00", "secret=a&secret=b", "%FF=%FE"])
def test_no_query_makes_the_check_raise(app: TestApp, query: str) -> None:
    """Whatever is sent as a query is a plain 403."""
    app.get(f"/c2c/closed?{query}", status=403)


def test_an_operator_is_told_what_can_not_be_read(app: TestApp) -> None:
    """The header says who asks, whatever the query is; that is refused for itself, of public views for everybody."""
    for path in ("/c2c/closed?limit=%FF", "/c2c/change?limit=%FF"):
        answer = app.get(path, headers={"X-API-Key": SECRET}, status=400)
        assert "UTF-8" in answer.json["message"]
    app.get("/c2c/open?limit=%FF", status=400)


def test_a_header_that_is_not_ascii(app: TestApp) -> None:
    """A header of other characters is compared as its bytes, and is wrong."""
    app.get("/c2c/closed", headers={"X-API-Key": "s\xe9cret"}, status=403)


def test_a_secret_that_is_not_ascii() -> None:
    """The secret may be of any characters, as parameter and as header (UTF-8)."""
    secret = "un-secret-très-long"
    make(secret).get("/c2c/closed", {"secret": secret})
    make(secret).get("/c2c/closed", headers={"X-API-Key": secret.encode().decode("latin-1")})


def test_a_thousand_wrong_secrets_are_locked_out(app: TestApp, caplog: pytest.LogCaptureFixture) -> None:
    """The sixth try is 429 with Retry-After, the right secret too, from this address only, with one log line."""
    caplog.set_level(logging.WARNING, "c2c_broadcast")
    statuses = [app.get("/c2c/closed", {"secret": f"wrong{i}"}, status="4*").status_int for i in range(1000)]
    assert statuses[:5] == [403] * 5
    assert set(statuses[5:]) == {429}
    response = app.get("/c2c/closed", {"secret": SECRET}, status=429)
    assert 1 <= int(response.headers["Retry-After"]) <= 6
    assert response.json["status"] == 429
    assert "no-cache" in response.headers["Cache-Control"]
    app.get("/c2c/closed", {"secret": SECRET}, extra_environ={"REMOTE_ADDR": "192.0.2.9"}, status=200)
    locks = [record for record in caplog.records if "locked" in record.getMessage()]
    assert len(locks) == 1
    assert "wrong1" not in caplog.text


def test_guessing_at_a_public_view_locks_too(app: TestApp) -> None:
    """A public view that shows operators more is no way round: guesses count, and the view stays up."""
    for _ in range(6):
        assert app.get("/c2c/open", {"secret": "wrong"}).json == {"auth": False}
    assert app.get("/c2c/open", {"secret": SECRET}).json == {"auth": False}
    app.get("/c2c/closed", {"secret": SECRET}, status=429)


def test_guessing_at_the_applications_own_view_locks_too() -> None:
    """Where an application asks is_auth in a view of its own, wrong secrets count as well."""
    config = Configurator(settings={"c2c.secret": SECRET})
    config.include("c2c_broadcast")
    config.add_route("own", "/own")
    config.add_view(lambda request: {"auth": is_auth(request)}, route_name="own", renderer="json")
    app = frozen(TestApp(config.make_wsgi_app()))
    for _ in range(5):
        app.get("/own", {"secret": "wrong"})
    assert app.get("/own", {"secret": SECRET}).json == {"auth": False}


def test_is_auth_is_a_question(app: TestApp) -> None:
    """Asking any number of times counts no failure and sets no cookie."""
    request = Request.blank("/?secret=wrong")
    request.registry = app.app.registry
    for _ in range(10):
        assert not is_auth(request)
    request = Request.blank(f"/?secret={SECRET}")
    request.registry = app.app.registry
    assert is_auth(request)


def test_a_good_secret_forgets_the_failures(app: TestApp) -> None:
    """Four typing errors and a success leave nothing behind."""
    for _ in range(3):
        for _ in range(4):
            app.get("/c2c/closed", {"secret": "wrong"}, status=403)
        app.get("/c2c/closed", {"secret": SECRET})


class TestLockout:
    """The counting itself, with a clock of our own."""

    @pytest.fixture
    def clock(self) -> Iterator[list[float]]:
        """Give a clock to move by hand."""
        return [1000.0]

    def test_a_process_that_is_stopped_is_hardly_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the others know of wrong secrets is asked for; with one that can't answer, for a moment only."""
        waits: list[float] = []
        monkeypatch.setattr(Broadcaster, "call", lambda *args, **_: waits.append(args[3]) or Call(1))
        with subprocess.Popen(["sleep", "60"]) as child:
            others = SimpleNamespace(workers=lambda: [Process(child.pid, 0)])
            monkeypatch.setattr(_access, "family", lambda: others)
            Lockout()._ask(OperatorCookie(SECRET))
            child.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + 30
            while not Process(child.pid, 0).stopped:
                assert time.monotonic() < deadline
            Lockout()._ask(OperatorCookie(SECRET))
            child.kill()
        assert waits == [1.0, 0.03]

    def test_the_lock_doubles_up_to_five_minutes(self, clock: list[float]) -> None:
        """5, 10, 20 ... 300 seconds, and it opens when they are over."""
        lockout = Lockout(clock=lambda: clock[0])
        for _ in range(4):
            lockout.failed("a")
        assert lockout.remaining("a") == 0
        seen = []
        for _ in range(8):
            lockout.failed("a")
            seen.append(lockout.remaining("a"))
            clock[0] += seen[-1]
            assert lockout.remaining("a") == 0
        assert seen == [5, 10, 20, 40, 80, 160, 300, 300]

    def test_memory_is_bounded(self) -> None:
        """Ten thousand addresses at most; the least recent goes."""
        lockout = Lockout()
        for number in range(MOST_ADDRESSES + 500):
            lockout.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        assert len(lockout._failures) == MOST_ADDRESSES

    def test_an_ipv6_client_is_its_network(self) -> None:
        """Another address of the same /64 is the same client; an IPv4 one in IPv6 form is itself."""
        lockout = Lockout()
        for number in range(5):
            lockout.failed(f"2001:db8::{number}")
        assert lockout.remaining("2001:db8::ffff") > 0
        assert lockout.remaining("2001:db8:0:1::1") == 0
        assert lockout.remaining("::ffff:192.0.2.1") == 0
        assert lockout.remaining("not:an:address") == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://localhost:80"}, 200),
        ({"Origin": "https://localhost:80"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:80"}, 403),
        ({}, 403),
    ],
)
def test_a_cookie_changes_state_from_the_same_origin_only(app: TestApp, headers: dict[str, str], status: int) -> None:
    """With a cookie, a change must come from our own page, and by POST."""
    app.get("/c2c/closed", {"secret": SECRET})
    app.post("/c2c/change", headers={"Host": "localhost:80", **headers}, status=status)
    app.get("/c2c/change", headers={"Host": "localhost:80", **headers}, status=403)


def test_secret_and_header_change_state_by_get_and_post(app: TestApp) -> None:
    """The documented URLs work from a shell: no origin is asked of who has the secret."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert app.get("/c2c/change", {"secret": SECRET}, headers=headers).json == {"done": True}
    assert app.get("/c2c/change", headers={"X-API-Key": SECRET, **headers}).json == {"done": True}
    assert app.post("/c2c/change", {"secret": SECRET}, headers=headers).json == {"done": True}


def test_a_short_secret_is_taken_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It works, and the log says so once at start, without telling it."""
    app = make("short")
    app.get("/c2c/closed", {"secret": "short"})
    assert [record.levelname for record in caplog.records if "shorter than 16" in record.getMessage()] == ["WARNING"]
    assert "short\n" not in caplog.text.replace("shorter", "")


def test_retired_settings_are_named_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """One warning names all of them with the remedy."""
    monkeypatch.setenv("C2C_REDIS_TIMEOUT", "3")
    monkeypatch.setenv("C2CWSGI_LOG_LEVEL", "INFO")
    make()
    warnings = [record.getMessage() for record in caplog.records if "Retired" in record.getMessage()]
    assert len(warnings) == 1
    assert "C2C_REDIS_TIMEOUT" in warnings[0]
    assert "C2CWSGI_LOG_LEVEL" in warnings[0]
    assert "C2C_REDIS_OPTIONS" in warnings[0]


def test_an_operator_of_one_application_is_none_of_another() -> None:
    """An application that is mounted in another one judges for itself, though the request has been judged."""
    outer, inner = make(), make(OTHER)
    request = Request.blank(f"/c2c/closed?secret={SECRET}")
    request.registry = outer.app.registry
    assert is_auth(request)
    assert request.get_response(inner.app).status_int == 403
    assert request.get_response(outer.app).status_int == 200


def test_two_applications_do_not_share_failures() -> None:
    """The state is the application's, not the process's."""
    one, two = make(), make(OTHER)
    for _ in range(6):
        one.get("/c2c/closed", {"secret": "wrong"}, status="4*")
    two.get("/c2c/closed", {"secret": OTHER})
    assert settings_of(two.app.registry).secret == OTHER


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH"])
def test_a_method_that_is_not_the_views_is_no_way_round(app: TestApp, method: str) -> None:
    """A guess sent with another method counts as any; a right secret gets no cookie from an error."""
    for _ in range(5):
        app.request("/c2c/closed?secret=wrong", method=method, status=405)
    assert app.request(f"/c2c/closed?secret={SECRET}", method=method, status=405).headers.get("Set-Cookie") is None
    app.get("/c2c/closed", {"secret": SECRET}, status=429)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_no_error_sets_a_cookie(status: int) -> None:
    """Who logs in with a request that fails is not logged in."""
    config = Configurator(settings={"c2c.secret": SECRET})
    config.include("c2c_broadcast")
    config.add_operator_view(lambda _: Response(status=status), name="x", path="/x")
    response = TestApp(config.make_wsgi_app()).get("/c2c/x", {"secret": SECRET}, status=status)
    assert "Set-Cookie" not in response.headers


class Endless:
    """A body that has no end, and counts what is read of it."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes."""
        assert size >= 0, "read to its end"
        self.count += size
        return b"a" * size

    def readline(self, size: int = -1) -> bytes:
        """Return a line that has no end."""
        return self.read(size)


@pytest.mark.parametrize("path", ["/c2c/closed", "/c2c/open", "/c2c/change", "/nope"])
def test_a_body_without_a_length_is_not_read(app: TestApp, path: str) -> None:
    """A chunked body may be endless: nothing of it is read in search of a secret."""
    body = Endless()
    environ = Request.blank(path, method="POST").environ | {
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
    }
    environ.pop("CONTENT_LENGTH", None)
    list(app.app(environ, lambda *_: None))
    assert body.count == 0


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": SECRET}])
def test_a_form_in_another_charset(app: TestApp, headers: dict[str, str]) -> None:
    """It is refused with a plain answer, whoever sends it."""
    kind = "application/x-www-form-urlencoded; charset=ISO-8859-1"
    for path in ("/c2c/closed", "/c2c/change", "/c2c/open"):
        response = app.post(path, "name=foo", headers=headers, content_type=kind, expect_errors=True)
        assert response.status_int in {403, 405, 415}
        assert response.content_type == "application/json"


@pytest.mark.parametrize("foreign", ['prefs="caf\\351"', "prefs=caf\xe9", "a=b=c", ";;;", "C2C_SECRET=x", "\x80"])
def test_other_applications_cookies_change_nothing(app: TestApp, foreign: str) -> None:
    """Whatever else is in the header, before or after: our own cookie is read, nothing else."""
    app.get("/c2c/closed", {"secret": SECRET})
    own = f"{NAME}={app.cookies[NAME]}"
    app.reset()
    for cookie in (f"{foreign}; {own}", f"{own}; {foreign}"):
        assert app.get("/c2c/closed", extra_environ={"HTTP_COOKIE": cookie}).json == {"seen": True}
    app.get("/c2c/closed", extra_environ={"HTTP_COOKIE": foreign}, status=403)


def test_cookies_of_two_services_of_one_host() -> None:
    """Their names differ, so that a log-in to one does not end that to the other."""
    names = {
        make(secret).get("/c2c/closed", {"secret": secret}).headers["Set-Cookie"].split("=")[0]
        for secret in (SECRET, OTHER)
    }
    assert len(names) == 2
    assert all(name.startswith("C2C_SECRET_") for name in names)


class Badge:
    """A policy that believes a header."""

    def judge(self, request: Any) -> Credentials:
        """Return the level that the header names."""
        level = request.headers.get("X-Badge", "none")
        return Credentials(level, identity="Ann" if level != "none" else "", way="badge")

    def remember(self, request: Any, response: Any) -> None:
        """Say that it was asked."""
        response.headers["X-Remembered"] = "yes"

    def challenge(self, request: Any) -> str:
        """Return a link."""
        return request.application_url + "/log-in"


def with_badge(secret: str | None = None) -> TestApp:
    """Make an application with views of each level, and a policy that comes after them."""
    config = Configurator(settings={"c2c.secret": secret or ""})
    config.include("c2c_broadcast")
    config.add_operator_view(lambda _: {}, name="operate", path="/operate")
    config.add_operator_view(lambda _: {}, name="read", path="/read", level="read")
    config.add_operator_view(lambda _: {}, name="change", path="/change", level="read", changes_state=True)
    config.add_operator_policy(Badge())
    return TestApp(config.make_wsgi_app())


@pytest.mark.parametrize(
    ("level", "operate", "read"),
    [("none", 403, 403), ("known", 403, 403), ("read", 403, 200), ("operate", 200, 200)],
)
def test_levels_of_a_policy(level: str, operate: int, read: int) -> None:
    """Views are for a level; to change something takes `operate` and, without a secret, the same origin."""
    app = with_badge()
    headers = {"X-Badge": level, "Sec-Fetch-Site": "same-origin"}
    app.get("/c2c/operate", headers=headers, status=operate)
    assert app.get("/c2c/read", headers=headers, status=read).headers.get("X-Remembered") == (
        "yes" if read == 200 else None
    )
    app.post("/c2c/change", headers=headers, status=operate)
    app.post("/c2c/change", headers={**headers, "Sec-Fetch-Site": "cross-site"}, status=403)


def test_the_best_level_counts_and_who_has_none_is_told_where_to_log_in() -> None:
    """Secret and policy stand beside each other."""
    app = with_badge(SECRET)
    app.get("/c2c/operate", headers={"X-API-Key": SECRET, "X-Badge": "known"})
    app.get("/c2c/operate", headers={"X-API-Key": "wrong", "X-Badge": "operate"})
    assert "log in at http://localhost/log-in" in app.get("/c2c/operate", status=403).json["message"]
    assert "Ann may not do this" in app.get("/c2c/operate", headers={"X-Badge": "read"}, status=403).json["message"]


def test_each_change_is_one_line_of_the_audit(app: TestApp, caplog: pytest.LogCaptureFixture) -> None:
    """It says who, how, from where, what and how it ended; what only shows says nothing, and no secret is in it."""
    caplog.set_level(logging.INFO, "c2c_broadcast.audit")
    app.post("/c2c/change?secret=" + SECRET)
    app.get("/c2c/closed")
    lines = [record.getMessage() for record in caplog.records if record.name == "c2c_broadcast.audit"]
    assert lines == ["the secret (secret) from (no address): POST /c2c/change: 200"]


def test_a_policy_that_raises_is_a_plain_no(app: TestApp) -> None:
    """Nothing that a policy does is raised into a request."""

    class Broken(Badge):
        def judge(self, request: Any) -> Credentials:
            raise RuntimeError("broken")

    config = Configurator(settings={"c2c.secret": SECRET})
    config.include("c2c_broadcast")
    config.add_operator_policy(Broken())
    config.add_operator_view(lambda _: {}, name="x", path="/x")
    app = TestApp(config.make_wsgi_app())
    app.get("/c2c/x", status=403)
    app.get("/c2c/x", {"secret": SECRET}, status=200)
