"""The first glance is never wrong: what was not asked, or not answered, is not called fine."""

from contextlib import ExitStack
from typing import Any

from playwright.sync_api import Locator, expect

from acceptance_tests.client import Client
from acceptance_tests.demo import Demo
from acceptance_tests.looking import PATIENCE, Page
from c2c_testing.servers import stopped

QUESTIONS = ("Is it healthy?", "What is it doing?", "What went wrong?", "What is different?")
# What a card says of what it knows.
CLAIMS = ("Yes", "Nothing", "One version", "requests/s")

expect.set_options(timeout=PATIENCE)


def big(page: Page, question: str) -> Locator:
    """Return the first line of a card."""
    return page.tab.locator(".card", has_text=question).locator(".big")


def test_the_service_is_stopped(page: Page, demo: Demo) -> None:
    """Every card turns grey and says since when nothing is known; so does the verdict; and it all comes back."""
    with ExitStack() as stack:
        for pid in (demo.service.master(), *demo.service.workers()):
            stack.enter_context(stopped(pid))
        for question in QUESTIONS:
            expect(big(page, question)).to_have_class("big unknown")
            expect(page.tab.locator(".card", has_text=question)).to_contain_text("Unknown since ")
            for claim in CLAIMS:
                expect(big(page, question)).not_to_contain_text(claim)
        expect(page.tab.locator("#verdict .state.unknown")).to_contain_text("Unknown since ")
    expect(page.tab.locator("#verdict")).to_contain_text("Healthy, 3 processes")
    expect(big(page, "Is it healthy?")).to_contain_text("Yes")


def test_one_worker_is_stopped(page: Page, demo: Demo) -> None:
    """Two of three answer: that is said, and nothing is called healthy, fine or the same everywhere."""
    with stopped(demo.service.workers()[0]):
        for question in QUESTIONS[1:]:
            expect(page.tab.locator(".card", has_text=question)).to_contain_text("2 of 3 processes asked")
        expect(page.tab.locator("#verdict")).to_contain_text("1 process is silent")
        expect(big(page, "Is it healthy?")).to_have_class("big unknown")
        expect(big(page, "Is it healthy?")).to_contain_text("Not known")
        for question in QUESTIONS:
            expect(big(page, question)).not_to_contain_text("Nothing")
            expect(big(page, question)).not_to_contain_text("Yes")
    expect(big(page, "Is it healthy?")).to_contain_text("Yes")


def test_redis_is_killed(page: Page, demo: Demo) -> None:
    """Other hosts can't be asked any more: nothing is said of all processes."""
    demo.redis.kill()
    try:
        expect(page.tab.locator(".card", has_text="What is different?")).to_contain_text("others are not known")
        for question in QUESTIONS:
            expect(big(page, question)).not_to_contain_text("Nothing")
            expect(big(page, question)).not_to_contain_text("Yes")
    finally:
        demo.redis.start()
    expect(big(page, "Is it healthy?")).to_contain_text("Yes")


def test_the_replica_is_killed(page: Page, demo: Demo) -> None:
    """It is said at once that something is wrong; the service is not called down, since reads fail over."""
    demo.databases.replica.kill()
    expect(page.tab.locator("#verdict")).to_contain_text("sqlalchemy_slave")
    expect(big(page, "Is it healthy?")).not_to_contain_text("Yes")
    demo.databases.restore()
    expect(big(page, "Is it healthy?")).to_contain_text("Yes")


def test_history_is_from_before_the_page_was_opened(client: Client, new_page: Any) -> None:
    """Requests of the last minutes are drawn as soon as the page is there, for all processes."""
    for _ in range(30):
        client.get("/ping")
    page = new_page()
    page.log_in()
    chart = page.live("history").get_by_role("img", name="Requests a second")
    expect(chart.locator("line").first).to_be_attached()
    expect(page.live("history")).to_contain_text("UTC")


def test_pause_and_keys(page: Page) -> None:
    """P pauses and goes on, / goes to a search, ? shows the keys."""
    page.tab.locator("body").press("p")
    expect(page.tab.get_by_role("button", name="Go on")).to_have_attribute("aria-pressed", "true")
    expect(big(page, "What is it doing?")).to_have_class("big unknown")
    page.tab.locator("body").press("p")
    expect(page.tab.get_by_role("button", name="Pause")).to_be_visible()
    page.tab.locator("body").press("/")
    expect(page.tab.locator('input[type="search"]:focus')).to_have_count(1)
    page.tab.locator('input[type="search"]:focus').press("Escape")
    page.tab.locator("h1").click()
    page.tab.locator("body").press("?")
    expect(page.tab.get_by_role("dialog", name="Keys")).to_be_visible()
    page.tab.keyboard.press("Escape")
    expect(page.tab.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_a_problem_is_acknowledged(page: Page, client: Client) -> None:
    """It stays in the list, and the card does not count it any more."""
    live = page.live("problems")
    live.get_by_role("button", name="Clear all").click()
    client.get("/error", status=500)
    problem = live.locator("li", has_text="Something nobody expected").first
    expect(big(page, "What went wrong?")).to_contain_text("error")
    problem.get_by_role("button", name="acknowledge").click()
    expect(problem).to_contain_text("acknowledged")
    expect(big(page, "What went wrong?")).to_contain_text("Nothing lately")
    live.get_by_role("button", name="Clear all").click()
    expect(live).to_contain_text("Nothing went wrong.")
