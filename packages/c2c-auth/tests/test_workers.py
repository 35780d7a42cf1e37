"""Several workers, with and without preload: each step may meet another process."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from c2c_testing.gunicorn import gunicorn

HERE = Path(__file__).parent
OWN = {"Sec-Fetch-Site": "same-origin", "Connection": "close"}


@pytest.fixture
def environment(github):
    """Return the settings as variables."""
    short = {"auth.secret": "SECRET"}
    names = {key: key.removeprefix("c2c.auth.github.") for key in github}
    return {f"C2C_AUTH_GITHUB_{short.get(name, name).upper()}": github[key] for key, name in names.items()}


@pytest.mark.parametrize("preload", [False, True])
def test_without_sticky_sessions(provider, environment, preload):
    """A log-in that begins in one worker ends in any other, and counts in all, those born later too."""
    with gunicorn("gunicorn_app:app", workers=3, preload=preload, cwd=HERE, env=environment) as server:
        browser = requests.Session()

        def get(url):
            return browser.get(url, allow_redirects=False, timeout=60, headers={"Connection": "close"})

        for _ in range(3):
            begun = get(f"{server.url}/c2c/github-login")
            back = provider.agree(begun.headers["Location"])
            assert get(back).status_code == 302, "a callback"
        assert _seen(browser, server) == set(server.pids())
        before = set(server.pids())
        server.signal(signal.SIGHUP)
        _wait_for(lambda: len(server.pids()) == 3 and not before & set(server.pids()))
        assert _seen(browser, server) == set(server.pids())
        for _ in range(6):
            assert requests.post(f"{server.url}/c2c/act", headers=OWN, timeout=60).status_code == 403


def _seen(browser, server):
    """Ask until each worker has answered; return which did."""
    found = set()

    def ask(_number):
        answer = browser.post(f"{server.url}/c2c/act", headers=OWN, timeout=60)
        assert answer.status_code == 200, answer.text
        found.add(answer.json()["pid"])

    def ask_all():
        with ThreadPoolExecutor(9) as several:  # at once: one alone may be answered by the same worker each time
            list(several.map(ask, range(9)))
        return set(server.pids()) <= found

    _wait_for(ask_all)
    return found & set(server.pids())


def _wait_for(condition):
    from c2c_testing.utils import retry_timeout

    retry_timeout(condition, timeout=120, interval=0.05)
