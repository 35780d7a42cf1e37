"""The combined includeme, and what joins the packages."""

import pytest
from pyramid.config import Configurator
from webtest import TestApp

import c2c_health
from c2c_broadcast import ConfigurationError
from c2c_meta._glue import check_replica, included_packages
from c2c_meta._names import OPTIONAL_PACKAGES, PACKAGES

SECRET = "a-long-enough-secret"


def configured(**settings: str) -> Configurator:
    """Return a configurator with the whole toolkit."""
    config = Configurator(settings={"c2c.secret": SECRET, "c2c.stats_view": "true", **settings}, route_prefix="/api")
    config.include("c2c_meta")
    return config


def test_everything_is_included_in_order() -> None:
    """One include brings all packages that have something to include."""
    found = included_packages(configured().registry)
    assert {"c2c_logging", "c2c_stats", "c2c_rest", "c2c_db", "c2c_health"} <= set(found)
    wanted = [*PACKAGES, *OPTIONAL_PACKAGES]
    assert list(found) == [name for name in wanted if name in found]


def test_packages_can_be_left_out() -> None:
    """``c2c.exclude`` leaves some out, and what would join them."""
    config = configured(**{"c2c.exclude": "c2c_health c2c_db"})
    assert not {"c2c_health", "c2c_db"} & set(included_packages(config.registry))
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
    before = included_packages(config.registry)
    config.include("c2c_meta")
    config.commit()
    assert included_packages(config.registry) == before


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
    assert found["counters"]["health_check/mine/success"] >= 1
    assert found["gauges"]["health_check_state/mine"] == 1


class Status:
    """A replica's state, as c2c-db tells it."""

    engine = "sqlalchemy_slave"
    since = 1.0
    reason = "because"

    def __init__(self, state: object, lag: float | None) -> None:
        self.state = state
        self.lag = lag

    def replica_states(self) -> "tuple[Status]":
        """Stand in for the database, too."""
        return (self,)


def test_a_replica_is_a_check() -> None:
    """Usable passes, all else fails: what that decides is the level's; each with state and lag."""
    from c2c_db import State

    assert check_replica(Status(State.USABLE, 0.0), "sqlalchemy_slave", None)["state"] == "usable"
    with pytest.raises(c2c_health.JsonCheckException, match="sqlalchemy_slave is lagging: because"):
        check_replica(Status(State.LAGGING, 9.0), "sqlalchemy_slave", None)
    with pytest.raises(c2c_health.JsonCheckException, match="offline") as error:
        check_replica(Status(State.OFFLINE, None), "sqlalchemy_slave", None)
    assert error.value.json["state"] == "offline"
