"""Log-in with GitHub in headless Chromium: a service of 6.1 on real gunicorn, a local GitHub on another site.

Chromium is looked for as ``chromium`` (Debian's package), ``chromium-browser`` or ``google-chrome``; the variable
CHROMIUM names another one.
"""

import os
import runpy
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from c2c_testing.gunicorn import gunicorn

HERE = Path(__file__).parent
IDP = HERE.parents[2] / "c2c-auth" / "tests" / "conftest.py"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120_000

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def provider() -> Iterator[Any]:
    """Return the local GitHub of c2c-auth's tests, which agrees to whatever it is asked."""
    made = runpy.run_path(str(IDP))["IdentityProvider"]()
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(provider: Any) -> Iterator[str]:
    """Serve the application by two workers. For the browser GitHub is at ``localhost``: another site than 127.0.0.1."""
    environment = {
        "CLIENT_ID": "the client",
        "CLIENT_SECRET": "the/client's secret",
        "REPOSITORY": "camp/service",
        "ACCESS_TYPE": "admin",
        "SECRET": "a-key-of-the-cookie-that-is-long",
        "AUTH_URL": f"{provider.url}/authorize".replace("127.0.0.1", "localhost"),
        "TOKEN_URL": f"{provider.url}/token",
        "USER_URL": f"{provider.url}/user",
        "REPO_URL": f"{provider.url}/repos",
    }
    environment = {f"C2C_AUTH_GITHUB_{name}": value for name, value in environment.items()}
    with gunicorn("login_app:app", workers=2, cwd=HERE, env=environment) as server:
        yield f"{server.url}/api"


@pytest.fixture
def openid_url(provider: Any) -> Iterator[str]:
    """Serve the application with OpenID Connect in the place of GitHub."""
    environment = {
        "C2C_AUTH_OIDC_ISSUER": provider.url,
        "C2C_AUTH_OIDC_CLIENT_ID": "the client",
        "C2C_AUTH_OIDC_CLIENT_SECRET": "the/client's secret",
        "C2C_AUTH_OIDC_OPERATE": "ops",
        "C2C_AUTH_OIDC_SECRET": "a-key-of-the-cookie-that-is-long",
    }
    with gunicorn("login_app:app", workers=2, cwd=HERE, env=environment) as server:
        yield f"{server.url}/api"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give the browser."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "Chromium is not installed: apt-get install chromium, or name it in CHROMIUM"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments, timeout=PATIENCE)
        with closing(browser):
            yield browser


@pytest.fixture
def tab(browser: Browser, provider: Any) -> Iterator[Page]:
    """Give a tab of somebody who has no cookie yet."""
    provider.rights, provider.fails = {"camp/service": ["pull", "admin"], "camp/rivers": ["pull"]}, {}
    with closing(browser.new_context()) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


def test_an_operator(tab: Page, url: str) -> None:
    """The link of the index page logs in, an operator sees the rest of it, and the button logs out."""
    tab.goto(f"{url}/c2c")
    expect(tab.get_by_role("heading", name="Debug")).to_have_count(0)
    tab.get_by_role("link", name="Log in with GitHub").click()
    tab.wait_for_url(f"{url}/c2c")
    expect(tab.get_by_text("Logged in as Ada L. (ada): operate")).to_be_visible()
    expect(tab.get_by_role("heading", name="Debug")).to_have_count(1)
    answer = tab.goto(f"{url}/c2c/debug/headers")
    assert answer is not None
    assert answer.status == 200
    (session,) = (one for one in tab.context.cookies() if one["name"] == "c2c-auth")
    assert (session["httpOnly"], session["sameSite"]) == (True, "Lax")
    assert tab.evaluate("document.cookie") == ""
    tab.goto(f"{url}/c2c")
    tab.get_by_role("region", name="Log-in").get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("link", name="Log in with GitHub")).to_be_visible()
    expect(tab.get_by_role("heading", name="Debug")).to_have_count(0)
    assert not [one for one in tab.context.cookies() if one["name"].startswith("c2c-auth")]


def test_who_was_sent_to_log_in_comes_back(tab: Page, url: str) -> None:
    """A view that is not for everybody sends one to log in, and back; what one may not see one does not see then."""
    tab.goto(f"{url}/source/rivers?a=b")
    assert tab.url == f"{url}/source/rivers?a=b"
    assert tab.inner_text("body") == '{"source":"rivers"}'
    answer = tab.goto(f"{url}/source/lakes")
    assert answer is not None
    assert (answer.status, tab.inner_text("body")) == (403, "This is not for you")


def test_any_account(tab: Page, url: str, provider: Any) -> None:
    """An account without the right is logged in, and no operator."""
    provider.rights = {"camp/service": ["pull"]}
    tab.goto(f"{url}/c2c")
    tab.get_by_role("link", name="Log in with GitHub").click()
    expect(tab.get_by_text("Logged in as Ada L. (ada): known")).to_be_visible()
    expect(tab.get_by_role("heading", name="Debug")).to_have_count(0)
    answer = tab.goto(f"{url}/c2c/debug/headers")
    assert answer is not None
    assert answer.status == 403


def test_no_other_site(tab: Page, url: str) -> None:
    """After the log-in nobody is at another site; a link of another site logs nobody out."""
    tab.goto(f"{url}/c2c/github-login?came_from=https://evil.example/")
    assert tab.url == f"{url}/c2c"
    elsewhere = tab.url.replace("127.0.0.1", "localhost")
    tab.goto(elsewhere)
    tab.evaluate("url => { location.href = url }", f"{url}/c2c/github-logout")
    tab.wait_for_url(f"{url}/c2c")
    expect(tab.get_by_text("Logged in as Ada L. (ada): operate")).to_be_visible()


def test_github_is_away(tab: Page, url: str, provider: Any) -> None:
    """Nobody is let in while GitHub does not answer, and one is told so."""
    provider.fails["/token"] = 500
    answer = tab.goto(f"{url}/c2c/github-login")
    assert answer is not None
    assert answer.status == 502
    assert "it does not answer, try again" in tab.inner_text("body")
    assert not tab.context.cookies()


def test_openid(tab: Page, openid_url: str) -> None:
    """With OpenID Connect the claim makes an operator, whose session the banner's button ends, too."""
    tab.goto(f"{openid_url}/c2c")
    tab.get_by_role("link", name="Log in with OpenID Connect").click()
    expect(tab.get_by_text("Logged in as Ada L. (ada): operate")).to_be_visible()
    expect(tab.get_by_role("heading", name="Debug")).to_have_count(1)
    tab.get_by_role("banner").get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("link", name="Log in with OpenID Connect")).to_be_visible()
    expect(tab.get_by_role("heading", name="Debug")).to_have_count(0)
