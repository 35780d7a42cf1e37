"""The combined includeme, the index page, the re-exports, and what joins the packages."""

import re

import pytest
from pyramid.config import Configurator
from webtest import TestApp

import c2c_health
import c2c_meta as c2c
import c2c_stats
from c2c_broadcast import ConfigurationError, Field, Form, Link, Section
from c2c_meta._glue import check_replica
from c2c_meta._include import included
from c2c_meta._packages import SHORT_NAMES

SECRET = "a-long-enough-secret"


def configured(**settings: str) -> Configurator:
    """Return a configurator with the whole toolkit."""
    config = Configurator(settings={"c2c.secret": SECRET, "c2c.stats_view": "true", **settings}, route_prefix="/api")
    config.include("c2c_meta")
    return config


def test_everything_is_included_in_order() -> None:
    """One include brings all packages that have something to include."""
    found = included(configured().registry)
    assert {"c2c_logging", "c2c_stats", "c2c_rest", "c2c_db", "c2c_health"} <= set(found)
    assert list(found) == [name for name in SHORT_NAMES.values() if name in found]


def test_packages_can_be_left_out() -> None:
    """``c2c.exclude`` leaves some out, and what would join them."""
    config = configured(**{"c2c.exclude": "c2c_health c2c_db"})
    assert not {"c2c_health", "c2c_db"} & set(included(config.registry))
    TestApp(config.make_wsgi_app()).get("/api/c2c/health_check", status=404)


@pytest.mark.parametrize("name", ["c2c_helth", "c2c_broadcast", "health"])
def test_a_misspelt_exclusion_stops_the_start(name: str) -> None:
    """What can't be left out is named, with what can."""
    with pytest.raises(ConfigurationError, match=f"{name}.*c2c_health"):
        configured(**{"c2c.exclude": name})


def test_including_twice_changes_nothing() -> None:
    """After a commit, Pyramid forgets its includes; the state stays."""
    config = configured()
    config.commit()
    before = included(config.registry)
    config.include("c2c_meta")
    config.commit()
    assert included(config.registry) == before


def test_each_package_has_a_short_name() -> None:
    """``c2c_meta.stats`` is c2c_stats, and so on."""
    assert c2c.stats is c2c_stats
    assert c2c.health is c2c_health
    assert {getattr(c2c, short).__name__ for short in SHORT_NAMES} == set(SHORT_NAMES.values())


def test_each_public_name_is_there() -> None:
    """Every public name of every package can be read from c2c_meta."""
    for short in SHORT_NAMES:
        for name in getattr(getattr(c2c, short), "__all__", ()):
            assert getattr(c2c, name) is not None, name
            assert name in dir(c2c)
    assert c2c.HealthCheck is c2c_health.HealthCheck
    with pytest.raises(AttributeError, match="no_such_name"):
        c2c.no_such_name  # noqa: B018 # it is the reading that raises


class TestIndexPage:
    """The index page, by its forms and links."""

    @pytest.fixture
    def app(self) -> TestApp:
        """Give an application with a section of its own."""
        config = configured()
        config.add_operator_view(lambda request: {}, name="own", path="/own")
        config.add_section(
            Section(
                name="own",
                title="<Own>",
                text="What it is",
                links=(Link(title="Look", route="c2c_own", query={"a": "&"}, help="here"),),
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
                            Field(name="s", label="S", type="select", choices=("a", "b"), value="b"),
                            Field(name="c", label="C", type="checkbox"),
                        ),
                    ),
                ),
            )
        )
        return TestApp(config.make_wsgi_app())

    def test_anybody_sees_the_public_part(self, app: TestApp) -> None:
        """Health is for all; the operators' part is not there, a log-in is."""
        page = app.get("/api/c2c")
        assert "Health" in page
        assert "Own" not in page
        assert 'type="password"' in page
        assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert app.get("/api/c2c/").text == page.text

    def test_log_in_and_out_by_form(self, app: TestApp) -> None:
        """The secret goes by POST; the page then shows the operators' part, escaped; log-out takes it away."""
        form = app.get("/api/c2c").forms[0]
        form["secret"] = SECRET
        answer = form.submit()
        assert answer.status_int == 303
        assert SECRET not in answer.headers["Location"]
        page = answer.follow()
        assert "&lt;Own&gt;" in page
        assert 'href="/api/c2c/own?a=%26"' in page
        for part in ('type="number"', 'value="3" required', "<option selected>b</option>", 'type="checkbox"'):
            assert part in page
        assert "Own" not in page.forms[0].submit().follow()

    def test_a_wrong_secret_is_said(self, app: TestApp) -> None:
        """403, and the page says why."""
        form = app.get("/api/c2c").forms[0]
        form["secret"] = "wrong"
        page = form.submit(status=403)
        assert 'role="alert"' in page
        assert "wrong" not in page.text.replace("wrong ones", "")

    def test_nothing_is_inline_or_from_elsewhere(self, app: TestApp) -> None:
        """The content security policy has nothing to forbid: no inline script or style, no other host."""
        page = app.get("/api/c2c", headers={"X-API-Key": SECRET}).text
        assert not re.search(r"<script|<style|style=|onclick|https?://", page)
        style = app.get("/api/c2c/static/index.css")
        assert style.content_type == "text/css"

    def test_without_a_secret_there_is_no_log_in(self) -> None:
        """Where nobody can be an operator, no form asks for it."""
        app = TestApp(configured(**{"c2c.secret": ""}).make_wsgi_app())
        assert 'type="password"' not in app.get("/api/c2c")


def test_members_view_answers_for_this_process() -> None:
    """Without Redis the one member is this process."""
    app = TestApp(configured().make_wsgi_app())
    answer = app.get("/api/c2c/members", headers={"X-API-Key": SECRET}).json
    assert len(answer["members"]) == 1
    assert answer["missing"] == []
    app.get("/api/c2c/members", status=403)


def test_health_checks_are_counted() -> None:
    """Each run of a check is a counter by name and outcome, and its state a gauge."""
    config = configured()
    config.add_health_check("mine", lambda request: None)
    app = TestApp(config.make_wsgi_app())
    app.get("/api/c2c/health_check?checks=mine")
    found = app.get("/api/c2c/stats.json").json
    assert found["counters"]["health_check/name=mine/outcome=passed"] >= 1
    assert found["gauges"]["health_check_state/name=mine"] == 1


class Status:
    """A replica's state, as c2c-db tells it."""

    name = "sqlalchemy_slave"
    since = 1.0
    reason = "because"

    def __init__(self, state: object, lag: float | None) -> None:
        self.state = state
        self.lag = lag

    def replica_states(self) -> "tuple[Status]":
        """Stand in for the database, too."""
        return (self,)


def test_a_replica_is_a_check() -> None:
    """Usable passes, lagging passes with a warning, all else fails; each with state and lag."""
    from c2c_db import State

    assert check_replica(Status(State.USABLE, 0.0), "sqlalchemy_slave", None)["state"] == "usable"
    with pytest.raises(c2c_health.Degraded, match="sqlalchemy_slave is lagging: because"):
        check_replica(Status(State.LAGGING, 9.0), "sqlalchemy_slave", None)
    with pytest.raises(c2c_health.JsonCheckException, match="offline") as error:
        check_replica(Status(State.OFFLINE, None), "sqlalchemy_slave", None)
    assert error.value.json["state"] == "offline"
