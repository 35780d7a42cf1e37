"""The page an operator opens in an incident, in a browser."""

from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import expect

from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo
from acceptance_tests.looking import PATIENCE, Opener, Page
from c2c_testing.servers import stopped

HEAVIEST = 150_000

expect.set_options(timeout=PATIENCE)


def test_log_in_and_out(new_page: Opener) -> None:
    """A wrong secret is said, the right one shows the operators' part, and log-out hides it again."""
    page = new_page()
    expect(page.live("health").locator("tbody tr")).not_to_have_count(0)
    expect(page.tab.locator("#verdict")).to_contain_text("Healthy")
    assert page.live("levels").count() == 0
    page.log_in("wrong")
    expect(page.tab.get_by_role("alert").filter(has_text="not the secret")).to_be_visible()
    page.log_in()
    assert page.tab.url == page.url
    expect(page.live("levels")).to_be_visible()
    page.tab.get_by_role("button", name="Log out").click()
    expect(page.tab.get_by_label("Secret")).to_be_visible()
    assert page.live("levels").count() == 0


def test_health_of_every_process(page: Page, demo: Demo) -> None:
    """A column for each worker, a line for each check, and dots of the last runs."""
    table = page.live("health").locator("table")
    for pid in demo.service.workers():
        expect(table.get_by_role("columnheader", name=str(pid))).to_be_visible()
    line = table.get_by_role("row", name="db_replica_sqlalchemy_slave")
    expect(line.locator(".state.passed")).to_have_count(4)
    expect(line.locator(".dots")).to_have_count(3)


def test_a_replica_dies_and_comes_back(page: Page, demo: Demo) -> None:
    """Health turns when the replica is killed, says what fails, and turns back when it is there again."""
    pair = demo.databases
    verdict = page.tab.locator("#verdict")
    expect(verdict).to_contain_text("Healthy")
    pair.replica.kill()
    expect(verdict).to_contain_text("db_replica_sqlalchemy_slave")
    line = page.live("health").locator("tr.failed", has_text="db_replica_sqlalchemy_slave")
    expect(line.locator("td .state.failed")).to_have_count(3)
    expect(page.live("health").locator(".dots .failed").first).to_be_visible()
    expect(page.tab.locator(".card", has_text="Is it healthy?").locator(".big")).not_to_contain_text("Yes")
    pair.restore()
    expect(verdict).to_contain_text("Healthy")


def test_a_level_for_a_while(page: Page, client: Client) -> None:
    """A level set with a ttl is in force in every process, its time runs down, and then it is as before."""
    live = page.live("levels")
    live.get_by_label("Search").fill("acceptance_app.views")
    live.get_by_label("For minutes").fill("0.2")
    live.get_by_label("Level of acceptance_app.views").select_option("DEBUG")
    line = live.get_by_role("row", name="acceptance_app.views")
    expect(line.locator("time")).to_be_visible()
    expect(line.get_by_role("cell", name="DEBUG").first).to_be_visible()
    assert "--data-urlencode 'ttl=12'" in (live.locator(".curl code").last.text_content() or "")
    expect(page.live("differences")).to_contain_text("Log level of acceptance_app.views is DEBUG")
    expect(line.locator("time")).to_have_count(0)
    expect(line.get_by_role("cell", name="DEBUG")).to_have_count(0)
    answer = client.get("/c2c/logging/level?name=acceptance_app.views", operator=True)
    assert (answer["level"], answer["effective_level"]) == ("NOTSET", "INFO")


def test_a_level_is_reset(page: Page) -> None:
    """What was set can be ended at once, by a button of its own."""
    live = page.live("levels")
    live.get_by_label("Logger", exact=True).fill("acceptance_app.some")
    live.get_by_role("button", name="Set in all processes").click()
    reset = live.get_by_role("button", name="Reset acceptance_app.some")
    reset.click()
    expect(reset).to_be_hidden()


def test_the_sql_profiler_shows_a_statement(page: Page, client: Client) -> None:
    """Switched on here, it reports what requests ask the database, with the route; and is switched off again."""
    live = page.live("sql")
    live.get_by_role("button", name="Switch on").click()
    expect(live.get_by_role("status").filter(has_text="On in all processes")).to_be_visible()
    line = live.locator("tbody tr", has_text="ORDER BY hello.id")

    def seen() -> bool:
        client.get("/hello")
        return line.count() > 0 or page.tab.wait_for_timeout(500) is not None

    wait_for(seen)
    expect(line.first).to_contain_text("route hello")
    live.get_by_role("button", name="Switch off").click()
    expect(live.get_by_role("status").filter(has_text="Off")).to_be_visible()


def test_a_profile(page: Page) -> None:
    """A profile of all processes is a flame graph that can be zoomed, by keyboard too, and a table of functions."""
    live = page.live("profile")
    live.get_by_label("at work only").uncheck()
    live.get_by_label("Seconds").fill("1")
    live.get_by_role("button", name="Take a profile").click()
    frames = live.locator(".flame button")
    expect(frames.filter(has_text="all").first).to_be_visible()
    for pid in page.demo.service.workers():
        expect(frames.filter(has_text=f"/{pid}")).to_have_count(1)
    focused = live.locator(".flame button:focus")
    frames.first.focus()
    page.tab.keyboard.press("ArrowDown")
    expect(focused).to_contain_text("/")
    chosen = focused.inner_text()
    page.tab.keyboard.press("Enter")
    for pid in page.demo.service.workers():
        expect(frames.filter(has_text=f"/{pid}")).to_have_count(int(chosen.endswith(f"/{pid}")))
    expect(live.locator(".detail")).to_contain_text("% of")
    page.tab.keyboard.press("Escape")
    expect(focused).to_have_text("all")
    expect(live.get_by_role("row", name="Condition.wait").first).to_be_visible()


def test_stacks(page: Page) -> None:
    """Stacks of all processes, the same ones as one; the filter finds a thread, hidden or not."""
    live = page.live("stacks")
    live.get_by_role("button", name="Take stacks").click()
    live.get_by_label("Filter").fill("gthread")
    expect(live.locator("details.stack").first).to_be_visible()
    for pid in page.demo.service.workers():
        expect(live.locator("details.stack", has_text=f"/{pid}/").first).to_be_attached()


def test_memory(page: Page) -> None:
    """Types by process, and the biggest objects of one."""
    live = page.live("memory")
    live.get_by_role("button", name="Count objects").click()
    live.get_by_role("button", name="builtins.set").first.click()
    expect(live.get_by_role("heading", name="builtins.set in")).to_have_count(3)


def test_timings(page: Page, client: Client) -> None:
    """Routes and statements with their numbers; a click on a column sorts by it."""
    live = page.live("timings")
    expect(live.get_by_role("row", name="GET ping")).to_be_visible()
    header = live.get_by_role("columnheader", name="Count")
    header.get_by_role("button").press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")
    client.get("/hello")
    live.get_by_label("Show").select_option("SQL")
    expect(live.get_by_role("row", name="SELECT FROM hello ORDER BY").first).to_be_visible()
    expect(live.locator("svg.spark polyline").first).to_be_attached()


def test_problems(page: Page, client: Client) -> None:
    """An error of any process is there, with its traceback and its request, and in the answer at the top.

    Its id leaves the lines of that request alone.
    """
    client.get("/error", status=500, headers={"X-Request-ID": "Order-42"})
    problem = page.live("problems").locator("li", has_text="id Order-42").first
    expect(problem).to_contain_text("GET /api/error")
    problem.locator("summary").click()
    expect(problem.locator("pre")).to_contain_text("RuntimeError")
    expect(page.tab.locator(".card", has_text="What went wrong?").locator(".big")).to_contain_text("error")
    problem.get_by_role("button", name="id Order-42").click()
    live = page.live("problems")
    expect(live.locator('input[type="search"]')).to_have_value("Order-42")
    expect(live.locator("li").filter(has_not_text="Order-42")).to_have_count(0)
    expect(live.locator("li").first).to_contain_text("Something nobody expected")


def test_requests_in_progress(page: Page, client: Client) -> None:
    """A slow request is there while it lasts."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.get, "/sleep?seconds=12")
        expect(page.live("running").get_by_role("row", name="GET /api/sleep").first).to_be_visible()
        asked.result()
    expect(page.live("running").get_by_role("row", name="GET /api/sleep")).to_have_count(0)


def test_maintenance(page: Page, client: Client) -> None:
    """Read-only mode is switched here, in every process, and the page says so at its top."""
    live = page.live("maintenance")
    live.get_by_label("Reason").fill("a test")
    live.get_by_role("button", name="Read-only").click()
    expect(live.get_by_role("status")).to_contain_text("Reason: a test")
    expect(page.tab.locator(".card", has_text="What is different?")).to_contain_text("Read-only mode")
    client.call("POST", "/hello", status=503, json={"value": "x"})
    live.get_by_label("For seconds").fill("1")
    live.get_by_role("button", name="Writes allowed").click()
    expect(live.get_by_role("status")).to_contain_text("Nobody has switched it")


def test_errors_are_shown_in_place(page: Page) -> None:
    """What the service refuses is said where it was asked for, in its own words."""
    live = page.live("maintenance")
    live.get_by_label("For seconds").fill("-5")
    live.get_by_role("button", name="Writes allowed").click()
    expect(live.get_by_role("alert")).to_contain_text("400 ttl")
    live.get_by_label("For seconds").fill("1")
    live.get_by_role("button", name="Writes allowed").click()
    expect(live.get_by_role("alert")).to_be_hidden()


def test_silent_members_are_named(page: Page, demo: Demo) -> None:
    """A process that hangs is named, while the others answer."""
    silent = demo.service.workers()[1]
    with stopped(silent):
        page.live("members").scroll_into_view_if_needed()
        expect(page.live("members").locator(".silence")).to_contain_text(f"/{silent} is silent")
        expect(page.live("health").locator(".silence")).to_contain_text(f"/{silent} is silent")
        expect(page.tab.locator("#verdict")).to_contain_text("1 process is silent")
    expect(page.tab.locator("#verdict")).to_contain_text("Healthy, 3 processes")


def test_settings(page: Page) -> None:
    """Settings with their origin; secrets are masked."""
    live = page.live("settings")
    live.get_by_role("button", name="Show settings").click()
    expect(live.get_by_role("row", name="C2C_SECRET")).to_contain_text("***")
    expect(live.get_by_role("row", name="sqlalchemy.url")).to_contain_text("postgresql://***@")
    assert page.demo.secret not in page.tab.content()


def test_versions(page: Page) -> None:
    """The version of the service, at the top too, and of its packages."""
    live = page.live("versions")
    live.get_by_role("button", name="Show versions").click()
    expect(live).to_contain_text("v7 · abcdef0")
    expect(live.get_by_role("row", name="pyramid")).to_contain_text("2.1")
    expect(page.tab.locator(".card", has_text="What is different?")).to_contain_text("abcdef0 everywhere")


def test_a_link_answers_in_place(page: Page) -> None:
    """The plain links and forms show their answers where they are, and their commands follow the fields."""
    section = page.tab.locator("section", has=page.tab.locator("h2#debug"))
    section.locator("details.raw > summary").click()
    section.get_by_role("button", name="Show here: Time").click()
    expect(section.locator("dd").first).to_be_visible()
    form = section.get_by_role("form", name="Memory that a request leaves behind")
    form.get_by_label("Path").fill("/api/ping")
    expect(form.locator(".curl code")).to_contain_text("path=%2Fapi%2Fping")
    form.get_by_role("button").first.click()
    expect(form.locator(".answer")).to_contain_text("Answered in")


def test_the_page_is_light(page: Page) -> None:
    """All that is loaded until the first answers are there, uncompressed, answers included."""
    entries = "['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type))"
    sizes: dict[str, int] = page.tab.evaluate(
        f"Object.fromEntries({entries}.map((one) => [one.name, one.decodedBodySize]))"
    )
    assert sum(name.endswith(".js") for name in sizes) > 10
    assert sum(sizes.values()) < HEAVIEST


def test_nothing_is_asked_while_nobody_looks(page: Page) -> None:
    """A hidden tab asks for nothing; a shown one begins again."""
    hide = "Object.defineProperty(document, 'visibilityState', {value: '%s', configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.tab.evaluate(hide % "hidden" + tell)
    page.wait("() => !document.querySelector('.busy')")
    page.tab.wait_for_timeout(2_000)  # what was under way ends
    before = len(page.responses)
    page.tab.wait_for_timeout(12_000)
    assert len(page.responses) == before
    page.tab.evaluate(hide % "visible" + tell)
    wait_for(lambda: len(page.responses) > before or page.tab.wait_for_timeout(200) is not None)
