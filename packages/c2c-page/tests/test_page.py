"""The index page: its sections, its log-in, its files."""

import html
import json
import re
import subprocess
from types import SimpleNamespace

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import Field, Form, Link, Live, Section
from c2c_page import CheckHistory
from c2c_page.page import page_files

SECRET = "a-long-enough-secret"
KEY = {"X-API-Key": SECRET}
# What a browser loads of the page, its answers left aside.
HEAVIEST = 150_000


def configured(**settings: str) -> Configurator:
    """Return a configurator with the page, and health as a package would tell it."""
    config = Configurator(settings={"c2c.secret": SECRET, **settings}, route_prefix="/api")
    config.include("c2c_page")
    checks = CheckHistory()
    config.add_page_fact("health", checks.found)
    config.registry["checks"] = checks
    config.add_operator_view(lambda request: {}, name="health_check", path="/health_check", public=True)
    live = Live(title="Checks", kind="health", route="c2c_health_check", every=10)
    config.add_section(Section(name="health", title="Health", order=10, operators_only=False, live=(live,)))
    return config


@pytest.fixture
def app() -> TestApp:
    """Give an application with a section of its own."""
    config = configured(**{"own.url": "postgresql://me:pa55word@db/x"})
    config.add_operator_view(lambda request: {}, name="own", path="/own")
    config.add_section(
        Section(
            name="own",
            title="<Own>",
            text="What it is",
            links=(Link(title="Look", route="c2c_own", query={"a": "&"}, help="here"),),
            live=(Live(title="Live", route="c2c_own", query={"live": "1"}, every=2.5),),
            forms=(
                Form(
                    title="Do",
                    route="c2c_own",
                    method="POST",
                    submit="Go",
                    help="carefully",
                    fields=(
                        Field(name="n", label="N", type="number", value="3", required=True),
                        Field(name="h", label="", type="hidden", value="x"),
                        Field(name="s", label="S", type="select", choices=("a", "it's <b>"), value="it's <b>"),
                        Field(name="c", label="C", type="checkbox"),
                    ),
                ),
            ),
        )
    )
    return TestApp(config.make_wsgi_app())


def test_anybody_sees_the_public_part(app: TestApp) -> None:
    """Health is for all; the operators' part is not there, a log-in is."""
    page = app.get("/api/c2c")
    assert "Health" in page
    assert "Own" not in page
    assert 'type="password"' in page
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert app.get("/api/c2c/").text == page.text


def test_log_in_and_out_by_form(app: TestApp) -> None:
    """The secret goes by POST; the page then shows the operators' part, escaped; log-out takes it away."""
    form = app.get("/api/c2c").forms[0]
    form["secret"] = SECRET
    answer = form.submit()
    assert answer.status_int == 303
    assert SECRET not in answer.headers["Location"]
    page = answer.follow()
    assert "&lt;Own&gt;" in page
    assert 'href="/api/c2c/own?a=%26"' in page
    for part in (
        'type="number"',
        'value="3" step="any" required',
        "<option selected>it&#39;s &lt;b&gt;</option>",
        'type="checkbox"',
    ):
        assert part in page
    assert "&lt;Own" not in page.forms[0].submit().follow()


def test_a_wrong_secret_is_said(app: TestApp) -> None:
    """403, and the page says why."""
    form = app.get("/api/c2c").forms[0]
    form["secret"] = "wrong"
    page = form.submit(status=403)
    assert 'role="alert"' in page
    assert "wrong" not in page.text.replace("wrong ones", "")


def test_nothing_is_inline_or_from_elsewhere(app: TestApp) -> None:
    """The content security policy has nothing to forbid: no inline script or style, no other host."""
    page = app.get("/api/c2c", headers={"X-API-Key": SECRET}).text
    shown = re.sub(r"<code>.*?</code>", "", page)  # the commands name the service's own address
    assert not re.search(r"<style|style=|\son\w+=|https?://", shown)
    assert re.findall(r"<script[^>]*>[^<]*", shown) == ['<script type="module" src="/api/c2c/static/main.js">']


def test_without_a_secret_there_is_no_log_in() -> None:
    """Where nobody can be an operator, no form asks for it."""
    app = TestApp(configured(**{"c2c.secret": ""}).make_wsgi_app())
    assert 'type="password"' not in app.get("/api/c2c")


def words(page: str, text: str, tmp_path: str) -> list[str]:
    """Return what the shell makes of the command for a route: its arguments, one by one."""
    command = html.unescape(next(found for found in re.findall(r"<code>(curl.*?)</code>", page) if text in found))
    script = f"curl() {{ for word; do printf '%s\\n' \"$word\"; done; }}; C2C_SECRET=it; {command}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    return done.stdout.splitlines()


def test_each_action_has_its_command(app: TestApp, tmp_path: str) -> None:
    """A link, a form and a live part show the curl that does the same; the secret is a variable in it."""
    page = app.get("/api/c2c", headers=KEY).text
    header = ["-H", "X-API-Key: it"]
    assert words(page, "/own?a=", tmp_path) == [*header, "http://localhost/api/c2c/own?a=%26"]
    form = ["--data-urlencode", "n=3", "--data-urlencode", "h=x", "--data-urlencode", "s=it's <b>"]
    assert words(page, "h=x", tmp_path) == [*header, *form, "http://localhost/api/c2c/own"]
    assert words(page, "live=1", tmp_path) == [*header, "http://localhost/api/c2c/own?live=1"]
    assert SECRET not in page


def test_a_live_part_is_a_link_with_what_the_scripts_need(app: TestApp) -> None:
    """Without JavaScript it is a link as others; its kind, its address and its pace are data."""
    page = app.get("/api/c2c", headers=KEY)
    [live] = [one for one in page.html.select("div.live") if one["data-title"] == "Live"]
    assert (live["data-kind"], live["data-url"], live["data-every"]) == ("table", "/api/c2c/own?live=1", "2.5")
    assert live.select_one("a")["href"] == "/api/c2c/own?live=1"


def test_headings_and_labels(app: TestApp) -> None:
    """Each field has a label, each section a heading that names it, and no id is given twice."""
    tree = app.get("/api/c2c", headers=KEY).html
    assert len(tree.select("h1")) == 1
    for section in tree.select("section"):
        assert section.select_one("h2")["id"] == section["aria-labelledby"]
    for field in tree.select("input, select"):
        assert field.get("type") == "hidden" or field.find_parent("label")
    ids = [one["id"] for one in tree.select("[id]")]
    assert len(ids) == len(set(ids))


def test_operators_read_the_state_without_javascript(app: TestApp) -> None:
    """The page itself says how the checks went, and what went wrong; for others it does not."""
    app.app.registry["checks"](SimpleNamespace(name="mine", level=1, state="passed", outcome="passed"))
    assert "mine: passed since" in app.get("/api/c2c", headers=KEY)
    assert "mine: passed since" not in app.get("/api/c2c")


def test_files_are_kept_by_browsers(app: TestApp) -> None:
    """A file has a tag; who has it is not sent it again; and it is never sniffed."""
    answer = app.get("/api/c2c/static/main.js")
    assert answer.content_type == "text/javascript"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-cache" in answer.headers["Cache-Control"]
    assert "no-store" not in answer.headers["Cache-Control"]
    app.get("/api/c2c/static/main.js", headers={"If-None-Match": answer.headers["ETag"]}, status=304)
    for name in ("nothing.js", "index.html", "..%2F_index.py"):
        app.get(f"/api/c2c/static/{name}", status=404)


def test_the_page_is_light(app: TestApp) -> None:
    """Page, style and scripts together, uncompressed."""
    page = app.get("/api/c2c", headers=KEY).body
    assert len(page) + sum(len(body) for body, _, _ in page_files().values()) < HEAVIEST


def test_scripts_ask_nobody_else_and_make_no_html() -> None:
    """No address of another host, nothing evaluated, and no text is ever read as HTML."""
    names = [name for name in page_files() if name.endswith(".js")]
    assert len(names) > 10
    for name in names:
        text = page_files()[name][0].decode()
        assert not re.search(
            r"https?://(?!www\.w3\.org)|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text
        ), name
        imported = re.findall(r'from "\./([\w.]+)"', text)
        assert set(imported) <= set(names), name


def test_settings_with_their_origin(app: TestApp) -> None:
    """Each setting with where it came from; secrets are masked; the application's own are there, too."""
    app.get("/api/c2c/settings", status=403)
    answer = app.get("/api/c2c/settings", headers=KEY)
    assert SECRET not in answer
    assert "pa55word" not in answer
    found = {(one["key"] or one["env"]): one for one in answer.json["settings"]}
    assert (found["c2c.secret"]["value"], found["c2c.secret"]["origin"]) == ("***", "ini")
    assert found["c2c.base_path"]["origin"] == "default"
    assert found["own.url"]["value"] == "postgresql://***@db/x"
    assert "pyramid.debug_all" not in found
    assert json.dumps(answer.json)
