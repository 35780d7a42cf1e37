"""The page for everybody: by keyboard, with a screen reader, on a phone, in the dark, without JavaScript."""

from typing import Any

import pytest
from playwright.sync_api import expect

from acceptance_tests.client import Client
from acceptance_tests.looking import PATIENCE, Opener, Page

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SERIOUS = {"serious", "critical"}

expect.set_options(timeout=PATIENCE)


def findings(page: Page, axe: str) -> list[str]:
    """Return what axe-core finds serious or worse."""
    page.tab.evaluate(axe)
    found: dict[str, Any] = page.tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']][:5]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_nothing_hinders_people(new_page: Opener, axe: str, options: dict[str, Any]) -> None:
    """axe-core finds nothing serious: for anybody, and for operators with every part open."""
    page = new_page(bypass_csp=True, **options)
    expect(page.live("health").locator("tbody tr")).not_to_have_count(0)
    assert findings(page, axe) == []
    page.log_in()
    show_all(page)
    assert findings(page, axe) == []


def show_all(page: Page) -> None:
    """Let each part show what it can."""
    page.live("stacks").get_by_label("also the waiting ones").check()  # nobody may be at work
    for kind, button, shown in (
        ("stacks", "Take stacks", "details.stack"),
        ("memory", "Count objects", "tbody tr"),
        ("settings", "Show settings", "tbody tr"),
    ):
        page.live(kind).get_by_role("button", name=button).click()
        expect(page.live(kind).locator(shown)).not_to_have_count(0)
    page.live("profile").get_by_label("at work only").uncheck()
    page.live("profile").get_by_label("Seconds").fill("0.5")
    page.live("profile").get_by_role("button", name="Take a profile").click()
    expect(page.live("profile").locator(".flame button")).not_to_have_count(0)
    for details in page.tab.locator("details").all():
        details.evaluate("one => { one.open = true }")


def test_a_phone_shows_it_all(new_page: Opener) -> None:
    """Nothing is wider than a phone; wide tables scroll by themselves."""
    page = new_page(**PHONE)
    page.log_in()
    show_all(page)
    assert page.tab.evaluate("document.scrollingElement.scrollWidth") <= PHONE["viewport"]["width"]


def test_by_keyboard_alone(new_page: Opener) -> None:
    """Log-in, the way to the content, and a table's order, without a mouse."""
    page = new_page()
    page.tab.keyboard.press("Tab")
    expect(page.tab.locator(":focus")).to_have_text("To the content")
    page.tab.keyboard.press("Enter")
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.type(page.demo.secret)
    page.tab.keyboard.press("Enter")
    expect(page.live("levels")).to_be_visible()
    for one in page.tab.locator(
        "main button:visible, main input:visible, main select:visible, main summary:visible"
    ).all()[:80]:
        assert one.evaluate("one => one.tabIndex") >= 0


def test_dark_is_dark(new_page: Opener) -> None:
    """The colours follow what the person prefers."""
    colour = "getComputedStyle(document.body).backgroundColor"
    light, dark = (new_page(color_scheme=scheme).tab.evaluate(colour) for scheme in ("light", "dark"))
    assert light != dark


def test_without_javascript(new_page: Opener, client: Client) -> None:
    """Log-in, health, problems, links and forms are there; an action by form does what it says."""
    client.get("/c2c/health_check?max_level=1000000")
    page = new_page(java_script_enabled=False)
    page.tab.get_by_label("Secret").fill(page.demo.secret)
    page.tab.locator(".log-in button").click()
    expect(page.live("health").locator(".state.passed").first).to_contain_text("passed since")
    expect(page.tab.get_by_role("link", name="Stacks").first).to_be_visible()
    form = page.tab.get_by_role("form", name="Set the level of a logger")
    form.get_by_label("Logger").fill("acceptance_app.plain")
    form.get_by_label("Seconds").fill("5")
    form.get_by_role("button").click()
    expect(page.tab.locator("body")).to_contain_text("acceptance_app.plain")
    page.tab.go_back()
    page.tab.get_by_role("link", name="Processes").first.click()
    expect(page.tab.locator("body")).to_contain_text("members")
