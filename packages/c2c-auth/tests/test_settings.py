"""What is configured, what is said of what is not, and what stops the start."""

import pytest
from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError


def include(settings):
    """Include the package; return the configurator."""
    config = Configurator(settings=settings)
    config.include("c2c_auth")
    config.commit()
    return config


def test_nothing_is_set(make_service, caplog):
    """Without settings nothing is added, and nothing said."""
    service = make_service({})
    assert service.get("/who").json is None
    assert service.get("/may").json is False
    service.get("/c2c/github-login", status=404)
    service.get("/c2c/see", status=404)
    assert not [record for record in caplog.records if record.name.startswith("c2c_auth")]


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("c2c.auth.github.client_id", "No log-in without C2C_AUTH_GITHUB_CLIENT_ID"),
        ("c2c.auth.github.repository", "No log-in without C2C_AUTH_GITHUB_REPOSITORY"),
        ("c2c.auth.github.auth.secret", "No log-in without C2C_AUTH_GITHUB_SECRET"),
    ],
)
def test_something_is_missing(github, make_service, caplog, left_out, said):
    """Half a log-in is none, and the log names what is missing."""
    service = make_service({key: value for key, value in github.items() if key != left_out})
    service.get("/c2c/github-login", status=404)
    assert said in caplog.text


def test_short_key(github, make_service, caplog):
    """A key that could be guessed is an error line, and no log-in."""
    service = make_service(github, **{"c2c.auth.github.auth.secret": "short"})
    service.get("/c2c/github-login", status=404)
    assert "C2C_AUTH_GITHUB_SECRET" in caplog.text
    assert "short" not in caplog.text.replace("shorter", "")


@pytest.mark.parametrize("by", ["environment", "ini"])
def test_use_session(monkeypatch, github, caplog, by):
    """The setting of 6.1 that kept the state in a session is said to be without effect, at DEBUG only."""
    caplog.set_level("DEBUG", logger="c2c_auth")
    if by == "environment":
        monkeypatch.setenv("C2C_USE_SESSION", "1")
        include(github)
    else:
        include({**github, "c2c.use_session": "true"})
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name.startswith("c2c_auth")]
    assert [level for level, line in said if "C2C_USE_SESSION has no effect" in line] == ["DEBUG"]
    assert "WARNING" not in dict(said)


@pytest.mark.parametrize("name", ["jwt", "oidc"])
def test_other_names(github, make_service, log_in, name):
    """The key and the name of the cookie have names that say nothing of GitHub, too: C2C_AUTH_JWT_SECRET, _COOKIE."""
    key = github.pop("c2c.auth.github.auth.secret")
    service = make_service(github, **{f"c2c.auth.{name}.secret": key, f"c2c.auth.{name}.cookie": "mine"})
    log_in(service)
    assert service.get("/who").json[1] == "ada"
    assert {one.name for one in service.cookiejar} == {"mine"}


def test_names_that_nothing_reads(monkeypatch, github, caplog):
    """Names that c2cwsgiutils 6.1 documented and never read are named, with the right one."""
    monkeypatch.setenv("C2C_AUTH_GITHUB_REPOSITORY_ACCESS_TYPE", "admin")
    include(github)
    assert "C2C_AUTH_GITHUB_REPOSITORY_ACCESS_TYPE: use C2C_AUTH_GITHUB_ACCESS_TYPE" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("github.access_type", "write", "pull, triage, push, maintain, admin"),
        ("github.repository", "service", "owner/name"),
        ("github.repository", "../user", "owner/name"),
        ("github.token_url", "http://github.com/token", "https://"),
        ("github.token_url", "github.com", "https://"),
        ("github.user_url", "https://user:password@api.github.com", "https://"),
        ("oidc.issuer", "http://[", "ISSUER"),
        ("github.auth.cookie", "a;b", "look like c2c-auth"),
    ],
)
def test_bad_values(github, name, value, said):
    """A wrong value stops the start and says what it should be."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        include({**github, f"c2c.auth.{name}": value})
    assert "password" not in str(raised.value)


def test_twice(github):
    """Included twice is included once."""
    config = include(github)
    config.include("c2c_auth")
    config.make_wsgi_app()


def test_the_page(provider, github, make_service, log_in):
    """The index page's section has the links, or who is logged in and the button; names of others are escaped."""
    provider.user["name"] = "<script>"
    service = make_service(github)
    assert service.get("/page").text == '<p><a href="/c2c/github-login">Log in with GitHub</a></p>'
    log_in(service)
    page = service.get("/page")
    assert "Logged in as &lt;script&gt; (ada): operate" in page.text
    page.form.submit(headers={"Sec-Fetch-Site": "same-origin"})
    assert "Log in with GitHub" in service.get("/page").text
