"""A page in headless Chromium that asks a service of another origin, and tells what it could read.

Chromium is looked for as ``chromium`` (Debian's package), ``chromium-browser`` or ``google-chrome``; the variable
CHROMIUM names another one. The page posts its results to its own origin: nothing but the browser is needed.
"""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import threading

import pytest
import waitress

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
]
_PATIENCE = 120


@contextlib.contextmanager
def _serving(application):
    """Serve a WSGI application on a free port of 127.0.0.1; give its origin."""
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        thread.join(10)


@pytest.fixture(scope="session")
def serving():
    """Give the context manager that serves a WSGI application."""
    return _serving


@pytest.fixture(scope="session")
def chromium():
    """Give the path of the browser."""
    wanted = os.environ.get("CHROMIUM")
    found = wanted or next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "Chromium is not installed: apt-get install chromium, or name it in CHROMIUM"
    return found


class Page:
    """The origin of the page: serves it, and gets its results."""

    def __init__(self):
        self._html = b""
        self.results = queue.Queue()

    def use(self, html):
        """Serve this page."""
        self._html = html.encode()

    def __call__(self, environ, start_response):
        """Serve the page, or take its results."""
        if environ["REQUEST_METHOD"] == "POST":
            self.results.put(json.loads(environ["wsgi.input"].read()))
            start_response("204 No Content", [])
            return []
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Set-Cookie", "who=me; Path=/")]
        start_response("200 OK", headers)
        return [self._html]


@pytest.fixture(scope="session")
def page():
    """Give the origin of a page."""
    return Page()


@pytest.fixture(scope="session")
def browse(chromium, tmp_path_factory):
    """Give a function that opens a page served at this origin, and returns what it posts."""

    def browse(page, origin):
        profile = tmp_path_factory.mktemp("chromium")
        command = [chromium, *_ARGUMENTS, f"--user-data-dir={profile}", f"{origin}/"]
        with (profile / "log").open("wb") as log:
            browser = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                return page.results.get(timeout=_PATIENCE)
            except queue.Empty:
                raise AssertionError((profile / "log").read_text(errors="replace")[-4000:]) from None
            finally:
                browser.terminate()
                browser.wait(30)

    return browse
