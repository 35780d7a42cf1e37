"""Log-in with GitHub, against a local one."""

import logging
from urllib.parse import parse_qs, urlsplit

import pytest

ORIGIN = {"Sec-Fetch-Site": "same-origin"}
SECRET = {"X-API-Key": "a secret of the machines"}


def test_an_operator(provider, github, make_service, log_in, caplog):
    """Who has the right on the repository does what operators do; log-in and log-out are audited, the token revoked."""
    service = make_service(github)
    caplog.set_level(logging.INFO, "c2c_broadcast.audit")
    assert service.get("/who").json is None
    assert "http://localhost/c2c/github-login" in service.get("/c2c/act", status=403).json["message"]
    assert log_in(service).status_int == 302
    assert service.get("/c2c/see").json == {"seen": True}
    assert service.post("/c2c/act", headers=ORIGIN).json == {"did": True}
    levels = ["known", "read", "operate"]
    assert service.get("/who").json == ["Ada L.", "ada", "https://github.example/ada", levels, "github"]
    assert service.post("/c2c/github-logout", headers=ORIGIN).status_int == 303
    assert service.get("/who").json is None
    assert provider.revoked == list(provider.tokens)
    said = [record.getMessage() for record in caplog.records if record.name == "c2c_broadcast.audit"]
    assert [line.partition(" from ")[0] for line in said] == ["ada (github)"] * 3, said
    assert "logged in" in said[0]
    assert "POST /c2c/act: 200" in said[1]
    assert "logged out" in said[2]


@pytest.mark.parametrize(
    ("rights", "levels"),
    [
        (["pull", "push"], ["known", "read", "operate"]),
        (["pull"], ["known", "read"]),
        ([], ["known"]),
        (None, ["known"]),
    ],
)
def test_levels(provider, github, make_service, log_in, rights, levels):
    """The right on the repository decides; an account without any is known, and no operator."""
    provider.rights = {} if rights is None else {"camp/service": rights}
    service = make_service(github, **{"c2c.auth.github.read_access_type": "pull"})
    log_in(service)
    assert service.get("/who").json[3] == levels
    assert service.get("/c2c/see", status="*").status_int == (200 if "read" in levels else 403)
    assert service.post("/c2c/act", headers=ORIGIN, status="*").status_int == (200 if "operate" in levels else 403)


def test_access_of_the_application(provider, github, make_service, log_in):
    """``check_access`` asks for any repository and right, by default for what makes an operator."""
    provider.rights["camp/other"] = ["pull", "admin"]
    service = make_service(github)
    assert service.get("/may").json is False
    log_in(service)
    for query, wanted in {
        "": True,
        "access=admin": False,
        "repository=camp/other&access=admin": True,
        "repository=camp/other": False,
        "repository=camp/none&access=pull": False,
        "repository=../user&access=pull": False,
    }.items():
        assert service.get(f"/may?{query}").json is wanted, query


def test_the_secret_beside(github, make_service, log_in):
    """Machines have the secret, people log in; the secret's log-out ends the session as well."""
    service = make_service(github, **{"c2c.secret": SECRET["X-API-Key"]})
    assert service.get("/who", headers=SECRET).json[4] == "secret"
    assert service.get("/may?repository=camp/none", headers=SECRET).json is True
    assert service.get("/c2c/act", headers=SECRET).json == {"did": True}
    log_in(service)
    assert service.get("/who").json[4] == "github"
    assert service.post("/c2c/act", {"secret": ""}, headers=ORIGIN).json == {"did": True}
    assert service.get("/who").json is None


def test_the_cookie(provider, github, make_service, log_in):
    """The session is HttpOnly, Lax, Secure on https, expires; no token or name is in it to be read."""
    service = make_service(github)
    answer = log_in(service)
    cookie = next(one for one in answer.headers.getall("Set-Cookie") if one.startswith("c2c-auth="))
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "secure" not in cookie.lower()
    (token,) = provider.tokens
    assert token not in cookie
    assert "ada" not in cookie
    assert not any(token in str(one) for one in answer.headers.items())
    begun = service.get("/c2c/github-login", extra_environ={"wsgi.url_scheme": "https"})
    assert {"secure", "HttpOnly", "Path=/c2c/github-callback", "Max-Age=600"} <= set(
        begun.headers["Set-Cookie"].split("; ")
    )
    query = parse_qs(urlsplit(begun.location).query)
    assert query["redirect_uri"] == ["https://localhost:80/c2c/github-callback"]
    assert query["client_id"] == ["the client"]
    assert query["scope"] == ["repo"]
    assert len(query["state"][0]) >= 43


def test_no_name(provider, github, make_service, log_in):
    """Many accounts have no name: the login stands in its place."""
    provider.user["name"] = None
    service = make_service(github)
    log_in(service)
    assert service.get("/who").json[:2] == ["ada", "ada"]


def test_redirect_proxy(provider, github, make_service):
    """Services that share one OAuth application have GitHub send people to a proxy, with their address."""
    service = make_service(github, **{"c2c.auth.github.auth.proxy_url": "https://proxy.example/redirect"})
    begun = service.get("/c2c/github-login")
    back = provider.agree(begun.location)
    assert back.startswith("https://proxy.example/redirect?came_from=http%3A%2F%2Flocalhost%2Fc2c%2Fgithub-callback&")
    # The proxy sends code and state on.
    answer = service.get(f"/c2c/github-callback?{back.rpartition('callback&')[2]}")
    assert answer.status_int == 302
    assert service.get("/who").json[1] == "ada"


def test_two_services(provider, github, make_service, log_in):
    """The cookie of another service, even of the same key, says nothing here; one key may follow another."""
    old = make_service(github)
    log_in(old)
    for setting in ({"c2c.auth.github.repository": "camp/other"}, {"c2c.auth.github.auth.secret": "k" * 20}):
        other = make_service(github, **setting)
        other.cookiejar = old.cookiejar
        assert other.get("/who").json is None, setting
    key = f"{'k' * 20},{github['c2c.auth.github.auth.secret']}"
    new = make_service(github, **{"c2c.auth.github.auth.secret": key})
    new.cookiejar = old.cookiejar
    assert new.get("/who").json[1] == "ada"


def test_public_repository(provider, github, make_service, log_in, caplog):
    """That every account in the world is an operator is said."""
    provider.private = False
    service = make_service(github, **{"c2c.auth.github.access_type": "pull"})
    log_in(service)
    service.get("/who")
    assert "Every GitHub account has `pull` on camp/service" in caplog.text


def _expire(provider, service):
    """Let the newest token expire, and what was known of its rights."""
    provider.revoked.append(list(provider.tokens)[-1])
    service.app.registry["c2c_auth.policy"].providers["github"]._known.clear()


def test_a_token_that_expires(provider, github, make_service, log_in):
    """A GitHub App's is replaced by another one, in whatever request comes first; it is the one that is revoked."""
    provider.expires = True
    service = make_service(github)
    log_in(service)
    for asked in (2, 3):
        _expire(provider, service)
        answer = service.get("/who")
        assert answer.json[1] == "ada"
        assert len(answer.headers.getall("Set-Cookie")) == 1
        assert service.post("/c2c/act", headers=ORIGIN).json == {"did": True}
        assert provider.count("/token") == asked
    _expire(provider, service)
    answer = service.post("/c2c/act", headers=ORIGIN)  # a view of operators, whose policy sets cookies, too
    assert len(answer.headers.getall("Set-Cookie")) == 1
    assert service.get("/who").json[3] == ["known", "read", "operate"]
    service.post("/c2c/github-logout", headers=ORIGIN)
    assert provider.revoked == list(provider.tokens)
    assert len(provider.tokens) == 4


@pytest.mark.parametrize("fails", [503, "garbage", "huge", None])
def test_a_token_that_cannot_be_replaced(provider, github, make_service, log_in, fails):
    """Where GitHub refuses it or is away, nobody is logged in, and nothing breaks."""
    provider.expires = True
    service = make_service(github)
    log_in(service)
    _expire(provider, service)
    if fails is None:
        provider.refreshes.clear()
    else:
        provider.fails["/token"] = fails
    assert service.get("/who").json is None
    assert service.post("/c2c/act", headers=ORIGIN, status=403)
    assert "Set-Cookie" not in service.get("/who").headers
