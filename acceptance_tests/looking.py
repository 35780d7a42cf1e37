"""The index page in a browser, for its tests and its screenshots."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Playwright, Response
from playwright.sync_api import Page as Tab

from acceptance_tests.demo import Demo

# A busy machine may take long; nothing waits longer than it has to.
PATIENCE = 120_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def launch(playwright: Playwright) -> Iterator[Browser]:
    """Start Debian's Chromium, or what CHROMIUM names."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "Chromium is not installed: apt-get install chromium, or name it in CHROMIUM"
    browser = playwright.chromium.launch(
        executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=PATIENCE
    )
    with contextlib.closing(browser):
        yield browser


class Page:
    """The index page of the demo as one person sees it, and what it asked for."""

    def __init__(self, context: BrowserContext, demo: Demo) -> None:
        self.demo = demo
        self.url = f"{demo.service.url}/api/c2c"
        self.context = context
        self.responses: list[Response] = []
        self.complaints: list[str] = []
        context.set_default_timeout(PATIENCE)
        self.tab: Tab = context.new_page()
        self.tab.on("response", self._answered)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", self._said)

    def _answered(self, response: Response) -> None:
        self.responses.append(response)

    def _said(self, message: Any) -> None:
        # A status that is no success is an answer the page shows; all else (policy, scripts) is its mistake.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, browser: Browser, demo: Demo, **options: Any) -> Iterator["Page"]:
        """Open the page in a window of its own; ``options`` are those of a browser's context."""
        with contextlib.closing(browser.new_context(**options)) as context:
            page = cls(context, demo)
            page.tab.goto(page.url)
            yield page
            page.hold()

    def hold(self) -> None:
        """Hold what is so at all times: no mistake of a script, no other host, no secret in an address."""
        assert self.complaints == []
        here = urlsplit(self.url).netloc
        for response in self.responses:
            assert urlsplit(response.url).netloc == here
            assert self.demo.secret not in response.url

    def log_in(self, secret: str | None = None) -> None:
        """Log in by the form; with the right secret wait until health is known."""
        self.tab.get_by_label("Secret").fill(self.demo.secret if secret is None else secret)
        self.tab.locator(".log-in button").click()
        if secret is None:
            self.tab.locator(".card .big.passed").first.wait_for()
            self.tab.locator("table.health tbody tr").first.wait_for()

    def live(self, kind: str) -> Locator:
        """Return the live part of a kind."""
        return self.tab.locator(f'.live[data-kind="{kind}"]')

    def wait(self, script: str, *arguments: Any) -> None:
        """Wait until a JavaScript expression is true."""
        self.tab.wait_for_function(script, arg=list(arguments))


Opener = Callable[..., Page]
"""Opens the page as somebody new; takes the options of a browser's context."""
