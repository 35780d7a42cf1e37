"""Nobody is let in who should not be, and nobody is sent elsewhere, whatever comes."""

import logging
import time
from http.cookiejar import CookieJar
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.fernet import MultiFernet

OWN = {"Sec-Fetch-Site": "same-origin"}
STATE = "c2c-auth-state"


@pytest.fixture
def service(github, make_service):
    """Return a service with the log-in of GitHub."""
    return make_service(github)


@pytest.fixture
def begun(service, provider):
    """Return the address of a callback that is good, and the browser has the cookie for it."""
    return provider.agree(service.get("/c2c/github-login").location)


def refused(service, url, status=400):
    """Ask the callback; nobody is logged in afterwards."""
    answer = service.get(url, status=status)
    assert not any(one.startswith("c2c-auth=") for one in answer.headers.getall("Set-Cookie"))
    assert service.get("/who").json is None
    return answer


def test_no_state(service, provider, begun):
    """A callback without a state, or with none of this browser's: a forced log-in."""
    query = dict(parse_qsl(urlsplit(begun).query))
    for state in ({}, {"state": ""}, {"state": "guessed"}, {"state": "é"}, {"state": "x" * 5000}):
        service.get("/c2c/github-login")
        refused(service, f"/c2c/github-callback?{urlencode({'code': query['code'], **state})}")
    assert provider.count("/token") == 0


def test_of_another_browser(service, begun, provider, github, make_service):
    """The callback of somebody else's log-in, sent to a victim with a log-in of his own or without."""
    victim = make_service(github)
    refused(victim, begun)
    victim.get("/c2c/github-login")
    refused(victim, begun)
    assert provider.count("/token") == 0


def test_replayed(service, begun, provider):
    """A callback is good once: its cookie is gone; with the cookie put back, the code is not taken again."""
    (cookie,) = (one for one in service.cookiejar if one.name == STATE)
    assert service.get(begun).status_int == 302
    service.post("/c2c/github-logout", headers=OWN)
    refused(service, begun)
    service.cookiejar.set_cookie(cookie)
    refused(service, begun, 403)


def test_state_is_for_one_try(service, begun, provider):
    """The cookie of a log-in goes whatever comes of it."""
    refused(service, begun.replace("state=", "state=x"))
    assert STATE not in {one.name for one in service.cookiejar}
    refused(service, begun)


@pytest.mark.parametrize("what", ["verifier", "state-of-session", "garbage", "cut"])
def test_forged_state(service, begun, provider, what):
    """A cookie that we did not make for that says nothing."""
    (cookie,) = (one for one in service.cookiejar if one.name == STATE)
    if what == "state-of-session":
        service.get(begun)
        (session,) = (one for one in service.cookiejar if one.name == "c2c-auth")
        cookie.value = session.value
        service.post("/c2c/github-logout", headers=OWN)
    else:
        cookie.value = {"verifier": cookie.value[:-8] + "AAAAAAA=", "garbage": "\xff{]", "cut": cookie.value[:50]}[what]
    service.cookiejar.set_cookie(cookie)
    refused(service, begun)


def test_expired_state(service, provider, monkeypatch):
    """A log-in that takes more than ten minutes begins again."""
    _old(monkeypatch, 601)
    begun = service.get("/c2c/github-login")
    monkeypatch.undo()
    refused(service, provider.agree(begun.location))


def test_expired_session(service, provider, log_in, monkeypatch):
    """A session ends after twelve hours in which no operator view was asked, and seven days after the log-in."""
    _old(monkeypatch, 12 * 3600 + 1)
    log_in(service)
    monkeypatch.undo()
    assert service.get("/who").json is None
    # Renewed a moment ago, so that the seal would hold.
    _old(monkeypatch, -7 * 24 * 3600)
    monkeypatch.setattr(time, "time", lambda real=time.time: real() - 7 * 24 * 3600 - 1)
    service.post("/c2c/github-logout", headers=OWN)
    begun = service.get("/c2c/github-login")
    monkeypatch.setattr(
        MultiFernet, "decrypt", lambda self, text, ttl: self.decrypt_at_time(text, 8 * 24 * 3600, _now())
    )
    service.get(provider.agree(begun.location), status=302)
    monkeypatch.undo()
    assert "c2c-auth" in {one.name for one in service.cookiejar}
    assert service.get("/who").json is None


def _now(real=time.time):
    return int(real())


def _old(monkeypatch, seconds):
    """Seal as one did some time ago."""
    monkeypatch.setattr(
        MultiFernet, "encrypt", lambda self, data: self.encrypt_at_time(data, int(time.time()) - seconds)
    )


def test_renewed(service, log_in, monkeypatch):
    """Who works has the session renewed by operator views, at most every half an hour, until its end."""
    log_in(service)
    assert "Set-Cookie" not in service.get("/c2c/see").headers
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 3600)
    answer = service.get("/c2c/see")
    assert answer.headers["Set-Cookie"].startswith("c2c-auth=")
    assert "Set-Cookie" not in service.get("/c2c/see").headers
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 6.999 * 24 * 3600)
    service.get("/c2c/see", status=403)


@pytest.mark.parametrize("how", ["cut", "changed", "none", "unsigned", "huge", "bytes"])
def test_forged_session(service, log_in, how):
    """A session that we did not seal is nobody's."""
    log_in(service)
    (cookie,) = (one for one in service.cookiejar if one.name == "c2c-auth")
    value = {
        "cut": cookie.value[:-1],
        "changed": cookie.value[:20] + ("A" if cookie.value[20] != "A" else "B") + cookie.value[21:],
        "none": "",
        "unsigned": '{"provider":"github","login":"ada"}',
        "huge": cookie.value + "A" * 5000,
        "bytes": "\xff\xfe" + cookie.value,
    }[how]
    service.cookiejar = CookieJar()
    assert service.get("/c2c/see", headers={"Cookie": f"other=\xff; c2c-auth={value}"}, status=403)
    # The right one beside it, as when two paths have one each.
    both = f"c2c-auth={value}; c2c-auth={cookie.value}"
    assert service.get("/c2c/see", headers={"Cookie": both}).json == {"seen": True}


HOSTILE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "https:evil.example",
    "http://localhost@evil.example/",
    "http://localhost.evil.example/",
    "http://localhost:81/",
    "https://localhost/",
    "javascript:alert(1)",
    "http://localhost\\@evil.example",
    "/é",
    "http://[",
    "",
]


@pytest.mark.parametrize("came_from", HOSTILE)
def test_open_redirect(service, log_in, came_from):
    """Log-in and log-out send nobody to another site."""
    assert log_in(service, came_from=came_from).location == "http://localhost/"
    answer = service.post(f"/c2c/github-logout?{urlencode({'came_from': came_from})}", headers=OWN)
    assert answer.location == "http://localhost/"


@pytest.mark.parametrize("came_from", ["/who?a=b&c=%20", "http://localhost/who", "http://localhost"])
def test_own_addresses(service, log_in, came_from):
    """One comes back to where one was."""
    wanted = came_from if came_from.startswith("http") else f"http://localhost{came_from}"
    assert log_in(service, came_from=came_from).location == wanted


def test_cross_site(service, log_in, provider):
    """Another site changes nothing by the cookie, and logs nobody out."""
    log_in(service)
    service.get("/c2c/act", status=403)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        service.post("/c2c/act", headers=headers, status=403)
        service.post("/c2c/github-logout", headers=headers)
        service.get("/c2c/github-logout", headers=headers)
    service.get("/c2c/github-logout")
    assert service.get("/who").json[1] == "ada"
    assert provider.revoked == []
    service.get("/c2c/github-logout", headers=OWN)
    assert service.get("/who").json is None


def test_provider_says_no(service, provider):
    """What the provider says is shown as data, and nobody is logged in."""
    for said in ("error=access_denied", "error=x&error_description=%3Cscript%3E%0A", "", "error=x&code=y"):
        state = dict(parse_qsl(urlsplit(service.get("/c2c/github-login").location).query))["state"]
        answer = refused(service, f"/c2c/github-callback?{said}&state={state}", 403)
        assert answer.content_type == "application/json"
        assert "\\n" not in answer.json["message"]


def test_secrets_are_not_shown(provider, github, make_service, log_in, caplog):
    """No code, token, state, client secret or key is in a log line, an answer or a repr."""
    from c2c_auth import AuthSettings
    from c2c_broadcast import load

    caplog.set_level(logging.DEBUG)
    service = make_service(github)
    provider.fails["/user"] = 500
    begun = service.get("/c2c/github-login")
    back = provider.agree(begun.location)
    answers = [service.get(back, status=502), service.get(back, status=400)]
    provider.fails.clear()
    answers += [log_in(service), service.get("/who"), service.get("/c2c/see")]
    query = dict(parse_qsl(urlsplit(back).query))
    found = "".join(map(str, answers)) + "".join(r.getMessage() for r in caplog.records if r.name.startswith("c2c"))
    found += repr(load(AuthSettings, github))
    secrets = [
        *provider.tokens,
        query["code"],
        query["state"],
        *(github[f"c2c.auth.github.{n}"] for n in ("client_secret", "auth.secret")),
    ]
    assert len(secrets) == 6
    for secret in secrets:
        assert secret not in found
