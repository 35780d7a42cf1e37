"""Pictures of the index page for the README of c2c-page: ``make screenshots``.

The demo works while they are taken: requests, errors, a level that was changed; for the dark one the replica is dead.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, expect, sync_playwright

from acceptance_tests import demo as start
from acceptance_tests.looking import PATIENCE, Page, launch
from c2c_testing.servers import free_port

FOLDER = Path(__file__).resolve().parent.parent / "packages" / "c2c-page" / "screenshots"
_PATHS = ("/hello", "/hello", "/hello", "/ping", "/outgoing/1", "/hello", "/sleep?seconds=0.2", "/hello")
_WIDE: dict[str, Any] = {"viewport": {"width": 1180, "height": 960}}
_PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
# Enough readings for the sparklines.
_WHILE = 60_000


@contextlib.contextmanager
def traffic(url: str) -> Iterator[None]:
    """Ask the service for this and that, until the end."""
    stop = threading.Event()

    def ask(pause: float) -> None:
        with requests.Session() as session:
            turn = 0
            while not stop.wait(pause * (1 + turn % 7 / 3)):
                turn += 1
                path = "/error" if turn % 97 == 0 else _PATHS[turn % len(_PATHS)]
                with contextlib.suppress(requests.RequestException):
                    session.get(f"{url}/api{path}", timeout=30)

    threads = [threading.Thread(target=ask, args=(pause,)) for pause in (0.03, 0.07, 0.11)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def light(browser: Browser, demo: start.Demo) -> None:
    """Take the page of a service that works, and a flame graph."""
    with Page.opened(browser, demo, **_WIDE) as page:
        page.log_in()
        levels = page.live("levels")
        levels.get_by_label("Logger", exact=True).fill("sqlalchemy.engine")
        levels.get_by_role("button", name="Set in all processes").click()
        expect(levels.locator("time")).to_be_visible()
        page.tab.evaluate("scrollTo(0, 0)")
        page.tab.wait_for_timeout(_WHILE)
        page.tab.screenshot(path=FOLDER / "light.png")
        profile = page.live("profile")
        profile.get_by_label("Seconds").fill("3")
        profile.get_by_role("button", name="Take a profile").click()
        expect(profile.locator(".flame button")).not_to_have_count(0)
        page.tab.mouse.move(0, 0)
        place = profile.bounding_box()
        assert place is not None
        clip: Any = {
            "x": place["x"],
            "y": place["y"] + page.tab.evaluate("scrollY"),
            "width": place["width"],
            "height": 640,
        }
        page.tab.screenshot(path=FOLDER / "profile.png", full_page=True, clip=clip)
        levels.get_by_role("button", name="Reset sqlalchemy.engine").click()
        expect(levels.locator("time")).to_have_count(0)


def dark(browser: Browser, demo: start.Demo) -> None:
    """Take the page of a service whose replica has died."""
    with Page.opened(browser, demo, color_scheme="dark", **_WIDE) as page:
        page.log_in()
        page.tab.wait_for_timeout(_WHILE)
        demo.databases.replica.kill()
        expect(page.live("health").locator("tr.failed")).not_to_have_count(0)
        page.tab.wait_for_timeout(_WHILE / 2)
        page.tab.screenshot(path=FOLDER / "dark.png")


def phone(browser: Browser, demo: start.Demo) -> None:
    """Take the page as a phone shows it."""
    with Page.opened(browser, demo, **_PHONE) as page:
        page.log_in()
        page.tab.wait_for_timeout(_WHILE / 4)
        page.tab.screenshot(path=FOLDER / "phone.png")


def neutral_app() -> Path:
    """Copy the demo's files to a folder that is nobody's: a check's name has the path of its file."""
    app = Path(tempfile.gettempdir()) / "demo"
    shutil.copytree(start.APP, app, dirs_exist_ok=True, ignore=shutil.ignore_patterns("src"))
    return app


def main() -> None:
    """Take them all."""
    expect.set_options(timeout=PATIENCE)
    FOLDER.mkdir(exist_ok=True)
    app = neutral_app()
    with (
        start.databases() as servers,
        start.service(*servers, port=free_port(), arguments=start.PATIENT, app=app) as demo,
        sync_playwright() as playwright,
        launch(playwright) as browser,
        traffic(demo.service.url),
    ):
        light(browser, demo)
        phone(browser, demo)
        dark(browser, demo)
    for path in sorted(FOLDER.glob("*.png")):
        print(f"{path.relative_to(FOLDER.parent.parent.parent)}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
