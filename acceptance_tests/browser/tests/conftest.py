"""The demo in headless Chromium: a browser, a page of an operator, and axe-core, which knows what hinders people.

Chromium is looked for as ``chromium`` (Debian's package), ``chromium-browser`` or ``google-chrome``; the variable
CHROMIUM names another one. axe-core comes from npm, once, into the cache of the tests.
"""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from acceptance_tests import demo as start
from acceptance_tests.client import Client, wait_for
from acceptance_tests.looking import Page, launch
from c2c_testing.servers import free_port

AXE = "axe-core@4.14.1"


@pytest.fixture(scope="session")
def _demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[start.Demo]:
    versions = tmp_path_factory.mktemp("versions") / "versions.json"
    versions.write_text(json.dumps({"main": {"git_hash": "abcdef0", "git_tag": "v7"}, "packages": {"pyramid": "2.1"}}))
    environ = {"C2C_VERSIONS_PATH": str(versions)}
    with (
        start.databases() as servers,
        start.service(*servers, port=free_port(), environ=environ, arguments=start.PATIENT) as demo,
    ):
        yield demo


@pytest.fixture
def demo(_demo: start.Demo) -> Iterator[start.Demo]:
    """Give the demo with 3 workers that know each other; what a test broke is mended after it."""
    wait_for(lambda: Client(_demo).pids() == _demo.service.workers())
    yield _demo
    _demo.databases.restore()


@pytest.fixture
def client(demo: start.Demo) -> Client:
    """Give who uses the demo beside the browser."""
    return Client(demo)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give the browser."""
    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser


@pytest.fixture
def new_page(browser: Browser, demo: start.Demo) -> Iterator[Any]:
    """Give a function that opens the page as somebody new; at the end nothing may have gone wrong in it."""
    with ExitStack() as stack:

        def new(**options: Any) -> Page:
            return stack.enter_context(Page.opened(browser, demo, **options))

        yield new


@pytest.fixture
def page(new_page: Any) -> Page:
    """Give the page as an operator sees it, all of its first answers there."""
    page: Page = new_page()
    page.log_in()
    return page


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """Give the text of axe-core."""
    cache = pytestconfig.cache.mkdir("axe") if pytestconfig.cache else Path()
    name = AXE.replace("@", "-")
    archive = cache / f"{name}.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        assert npm, "npm is not installed: apt-get install npm; axe-core comes from there"
        subprocess.run([npm, "pack", "--silent", "--pack-destination", cache, AXE], check=True, timeout=300)
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()
