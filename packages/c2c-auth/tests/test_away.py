"""The provider is away, slow, or answers garbage: bounded, said once, and a permission counts for ten minutes."""

import threading
import time

import pytest

from c2c_auth import AuthSettings, Operator
from c2c_auth import providers as module
from c2c_auth.providers import AwayError, GitHub
from c2c_broadcast import load

GARBAGE = ["garbage", "huge", "drip", "slow", 500, 429]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Wait for two seconds in place of five."""
    monkeypatch.setattr("c2c_auth.providers.Asker.ask.__kwdefaults__", {"bearer": "", "timeout": 2.0})


@pytest.mark.parametrize("path", ["/token", "/user"])
@pytest.mark.parametrize("fails", GARBAGE)
def test_log_in(provider, github, make_service, log_in, path, fails):
    """Nobody is let in, one is told so within seconds, and the next try works."""
    provider.fails[path] = fails
    service = make_service(github)
    answer = log_in(service)
    assert answer.status_int == (403 if fails == "garbage" else 502)
    assert service.get("/who").json is None
    provider.fails.clear()
    assert log_in(service).status_int == 302


@pytest.mark.parametrize("path", ["/configuration", "/token", "/jwks", "/userinfo"])
@pytest.mark.parametrize("fails", GARBAGE)
def test_log_in_by_oidc(provider, oidc, make_service, log_in, path, fails):
    """The same, with OpenID Connect."""
    provider.fails[path], provider.in_userinfo = fails, True
    service = make_service(oidc)
    if path == "/configuration":
        service.get("/c2c/oidc-login", status=502)
    else:
        answer = log_in(service, "oidc")
        nothing_said = path == "/userinfo" and fails == "garbage"
        assert answer.status_int == (302 if nothing_said else 403 if (path, fails) == ("/token", "garbage") else 502)
        assert (service.get("/who").json or [0, 0, 0, ["known"]])[3] == ["known"]
    provider.fails.clear()
    log_in(service, "oidc")
    assert service.get("/who").json[1] == "ada"


def test_nobody_listens(github, make_service, log_in):
    """A provider that is not there is one line of the log, and no address or secret is in it but its host."""
    service = make_service(github, **{"c2c.auth.github.token_url": "http://127.0.0.1:1/token"})
    assert "127.0.0.1:1: ConnectionError" in log_in(service).json["message"]


@pytest.mark.parametrize("fails", ["slow", 500, 403])
def test_rights_while_away(provider, github, make_service, log_in, caplog, fails):
    """The last yes counts for ten minutes; one line says that GitHub is away, one that it is back."""
    service = make_service(github)
    log_in(service)
    assert service.get("/c2c/see").json == {"seen": True}
    known = service.app.registry["c2c_auth.policy"].providers["github"]
    known._clock = lambda: time.monotonic() + 61
    provider.fails["/repos"] = fails
    for _ in range(3):
        assert service.get("/c2c/see").json == {"seen": True}
    assert provider.count("/repos") == 2
    known._clock = lambda: time.monotonic() + 661
    service.get("/c2c/see", status=403)
    assert service.get("/who").json[3] == ["known"]
    provider.fails.clear()
    known._clock = lambda: time.monotonic() + 700
    assert service.get("/c2c/see").json == {"seen": True}
    said = [record.getMessage() for record in caplog.records if record.name.startswith("c2c_auth")]
    assert len(said) == (0 if fails == 403 else 2), said


def test_revoked_right(provider, github, make_service, log_in):
    """A right that is taken away counts for another minute at most."""
    service = make_service(github)
    log_in(service)
    assert service.get("/c2c/see").json == {"seen": True}
    provider.rights.clear()
    service.app.registry["c2c_auth.policy"].providers["github"]._clock = lambda: time.monotonic() + 61
    service.get("/c2c/see", status=403)


def test_revoked_token(provider, github, make_service, log_in):
    """A token that GitHub knows no more ends the session, and the cookie goes."""
    service = make_service(github)
    log_in(service)
    assert service.get("/c2c/see").json == {"seen": True}
    provider.revoked += provider.tokens
    service.app.registry["c2c_auth.policy"].providers["github"]._clock = lambda: time.monotonic() + 61
    service.get("/c2c/see", status=403)
    assert service.get("/who").json is None


def test_log_out_while_away(provider, github, make_service, log_in):
    """Log-out works without GitHub."""
    service = make_service(github)
    log_in(service)
    provider.fails["/applications"] = "slow"
    service.post("/c2c/github-logout", headers={"Sec-Fetch-Site": "same-origin"})
    assert service.get("/who").json is None


def test_asked_once_a_minute(provider, github, make_service, log_in):
    """GitHub is asked once a minute and user, however many requests there are."""
    service = make_service(github)
    log_in(service)
    for _ in range(20):
        service.get("/c2c/see")
        service.get("/may")
        assert "Logged in" in service.get("/page").text
    assert provider.count("/repos") == 1


def test_others_do_not_wait(provider, github, monkeypatch):
    """While one thread asks again, others take what is known."""
    known = GitHub(load(AuthSettings, github))
    who = Operator(how="github", login="ada", name="Ada", token="token")
    asking, go_on = threading.Event(), threading.Event()
    answers = [frozenset({"push"}), frozenset()]

    def ask(token, repository):
        if len(answers) == 1:
            asking.set()
            assert go_on.wait(60)
        return answers.pop(0)

    monkeypatch.setattr(known, "_ask_rights", ask)
    assert "operate" in known.now(who).levels
    known._clock = lambda: time.monotonic() + 100
    thread = threading.Thread(target=known.now, args=(who,))
    thread.start()
    assert asking.wait(60)
    assert "operate" in known.now(who).levels
    go_on.set()
    thread.join(60)
    assert known.now(who).levels == ("known",)


def test_bounded(provider, github, monkeypatch):
    """What is known of rights is bounded, the oldest goes first; a failure is not asked again at once."""
    monkeypatch.setattr(module, "MOST_RIGHTS", 3)
    known = GitHub(load(AuthSettings, github))
    asked = []

    def ask(token, repository):
        asked.append(token)
        raise AwayError

    monkeypatch.setattr(known, "_ask_rights", ask)
    for number in (1, 1, 2, 3, 4, 4, 1):
        assert known.now(Operator(how="github", login="ada", name="Ada", token=str(number))).levels == ("known",)
    assert asked == ["1", "2", "3", "4", "1"]
    assert len(known._known) == 3
