"""Log-in of c2cwsgiutils 6.1, with what was wrong there done right, against a local GitHub."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPFound
from webtest import TestApp

import c2cwsgiutils.auth
import c2cwsgiutils.health_check
import c2cwsgiutils.pyramid

IDP = Path(__file__).parents[2] / "c2c-auth" / "tests" / "conftest.py"
OWN = {"Sec-Fetch-Site": "same-origin"}
SECRET = "a-secret-of-the-tests"


@pytest.fixture
def provider() -> Iterator[Any]:
    """Return the local GitHub of c2c-auth's tests."""
    made = runpy.run_path(str(IDP))["IdentityProvider"]()
    yield made
    made.close()


@pytest.fixture
def make_service(provider: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TestApp]:
    """Return a function that makes a service as those of 6.1 are: its variables, its forbidden view."""
    for name, value in {
        "CLIENT_ID": "the client",
        "CLIENT_SECRET": "the/client's secret",
        "REPOSITORY": "camp/service",
        "ACCESS_TYPE": "admin",
        "SECRET": "a-key-of-the-cookie-that-is-long",
        "AUTH_URL": f"{provider.url}/authorize",
        "TOKEN_URL": f"{provider.url}/token",
        "USER_URL": f"{provider.url}/user",
        "REPO_URL": f"{provider.url}/repos",
    }.items():
        monkeypatch.setenv(f"C2C_AUTH_GITHUB_{name}", value)

    def make(**settings: str) -> TestApp:
        config = Configurator(
            settings={
                "c2c.compat_era": "6",
                "c2c.debug_view_enabled": "1",
                "c2c.enable_exception_handling": "1",
                **settings,
            },
            route_prefix="/api",
        )
        config.include(c2cwsgiutils.pyramid.includeme)
        config.add_route("source", "/source/{name}")
        config.add_view(_source, route_name="source", renderer="json")
        config.add_route("user", "/user")
        config.add_view(_user, route_name="user", renderer="json")
        config.add_forbidden_view(_forbidden)
        config.add_route("broken", "/broken")
        config.add_view(_broken, route_name="broken")
        c2cwsgiutils.health_check.HealthCheck(config).add_custom_check("broken", _broken)
        return TestApp(config.make_wsgi_app())

    return make


def _source(request: Any) -> dict[str, str]:
    config: c2cwsgiutils.auth.AuthConfig = {"github_repository": f"camp/{request.matchdict['name']}"}
    if "type" in request.GET:
        config["github_access_type"] = request.GET["type"]
    if not c2cwsgiutils.auth.check_access_config(request, {} if request.matchdict["name"] == "none" else config):
        raise HTTPForbidden
    return {"source": request.matchdict["name"]}


def _user(request: Any) -> dict[str, Any]:
    logged_in, user = c2cwsgiutils.auth.is_auth_user(request)
    has_token = user.get("token") is not None
    return {
        "is": [logged_in, c2cwsgiutils.auth.is_auth(request), c2cwsgiutils.auth.check_access(request)],
        "user": {name: value for name, value in user.items() if name != "token"},
        "token": has_token and bool(user["token"]["access_token"]),
        "shown": repr(user),
        "type": c2cwsgiutils.auth.auth_type(request.registry.settings).name,
    }


def _broken(request: Any) -> Any:
    raise RuntimeError("broken on purpose")


def _forbidden(request: Any) -> Any:
    if c2cwsgiutils.auth.is_auth(request):
        request.response.status = 403
        return request.response
    came_from = {"came_from": request.current_route_url()}
    return HTTPFound(request.route_url("c2c_github_login", _query=came_from))


def test_a_user(make_service: Callable[..., TestApp], provider: Any) -> None:
    """Who is sent to log in comes back; any account is logged in, and rights decide what it may."""
    provider.rights = {"camp/service": ["pull"], "camp/rivers": ["pull", "push", "admin"], "camp/lakes": ["pull"]}
    service = make_service()
    sent = service.get("/api/source/rivers?a=b", status=302)
    begun = service.get(sent.location, status=302)
    assert service.get(provider.agree(begun.location)).location == "http://localhost/api/source/rivers?a=b"
    assert service.get("/api/source/rivers").json == {"source": "rivers"}
    for path in ("lakes", "none", "nowhere"):
        service.get(f"/api/source/{path}", status=403)
    assert service.get("/api/source/lakes?type=pull").json == {"source": "lakes"}
    found = service.get("/api/user").json
    assert found["is"] == [True, True, False]
    assert found["user"] == {"login": "ada", "name": "Ada L.", "url": "https://github.example/ada"}
    assert found["token"] is True
    assert next(iter(provider.tokens)) not in found["shown"]
    assert found["type"] == "GITHUB"
    # What was the worst of 6.1: any account was an operator.
    assert service.get("/api/c2c/debug/headers", status=403).json["status"] == 403
    service.get("/api/c2c/logging/level?name=tiny&level=DEBUG", status="4*")
    assert "Logged in as Ada L. (ada): known" in service.get("/api/c2c").text
    # Stack traces, too, were everybody's.
    assert "stacktrace" not in service.get("/api/c2c/health_check", status=500).json["failures"]["broken"]
    assert "stacktrace" not in service.get("/api/broken", status=500).json


def test_an_operator(make_service: Callable[..., TestApp], provider: Any) -> None:
    """Who has the right on the repository is an operator, and reads the page."""
    provider.rights = {"camp/service": ["admin"]}
    service = make_service()
    page = service.get("/api/c2c")
    assert "Log in with GitHub" in page.text
    assert "Debug" not in page.text
    begun = page.click("Log in with GitHub")
    assert service.get(provider.agree(begun.location)).location == "http://localhost/api/c2c"
    page = service.get("/api/c2c")
    assert "Debug" in page.text
    assert service.get("/api/c2c/debug/headers").status_int == 200
    assert "stacktrace" in service.get("/api/c2c/health_check", status=500).json["failures"]["broken"]
    assert "stacktrace" in service.get("/api/broken", status=500).json
    assert service.get("/api/user").json["is"] == [True, True, True]
    form = next(form for form in page.forms.values() if "github-logout" in form.action)
    form.submit(headers=OWN)
    assert service.get("/api/user").json["is"] == [False, False, False]
    service.get("/api/c2c/debug/headers", status=403)


@pytest.mark.parametrize("came_from", ["https://evil.example/", "//evil.example/"])
def test_no_open_redirect(make_service: Callable[..., TestApp], provider: Any, came_from: str) -> None:
    """Log-in and log-out send nobody elsewhere."""
    service = make_service()
    begun = service.get(f"/api/c2c/github-login?{urlencode({'came_from': came_from})}")
    assert service.get(provider.agree(begun.location)).location == "http://localhost/api/c2c"
    gone = service.get(f"/api/c2c/github-logout?{urlencode({'came_from': came_from})}", headers=OWN)
    assert gone.location == "http://localhost/api/c2c"


def test_with_a_secret(make_service: Callable[..., TestApp], monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret has all rights, is the type whatever else is set, and the names of the log-in lead somewhere."""
    key = {"X-API-Key": SECRET}
    for github in (True, False):
        if not github:
            monkeypatch.delenv("C2C_AUTH_GITHUB_CLIENT_ID")
        service = make_service(**{"c2c.secret": SECRET})
        found = service.get("/api/user", headers=key).json
        assert (found["is"], found["user"], found["token"], found["type"]) == ([True] * 3, {}, False, "SECRET")
        assert service.get("/api/source/none", headers=key).json == {"source": "none"}
        begun = service.get(service.get("/api/source/rivers", status=302).location, status=302)
        assert begun.location.startswith("http" if github else "http://localhost/api/c2c/")
    assert service.get(begun.location).status_int == 200


def test_nothing_is_set(make_service: Callable[..., TestApp], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without both nobody is logged in; a key of the cookie that is too short is no log-in."""
    monkeypatch.setenv("C2C_AUTH_GITHUB_SECRET", "short")
    service = make_service()
    found = service.get("/api/user").json
    assert (found["is"], found["type"]) == ([False] * 3, "NONE")
    service.get(service.get("/api/source/rivers", status=302).location, status=302)
