"""How checks come to an application."""

import pytest
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import ConfigurationError
from c2c_health import HealthCheck


async def _later(request):
    pass


def _names(registry):
    return [check.name for check in registry["health_check"].all]


def test_directive_and_class_say_the_same():
    """``config.add_health_check`` and the methods of HealthCheck fill one list."""
    config = Configurator()
    config.include("c2c_health")
    config.add_health_check("one", lambda request: 1, level=2, timeout=1, cache=3)
    config.add_health_check("two", lambda request: 2)
    HealthCheck(config).add_custom_check("three", lambda request: 3)
    HealthCheck(config).add_custom_check("four", lambda request: 4)
    config.registry["health_check"].add_custom_check("five", lambda request: 5)
    assert HealthCheck(config) is config.registry["health_check"]
    app = TestApp(config.make_wsgi_app())
    assert _names(config.registry) == ["one", "two", "three", "four", "five"]
    found = app.get("/c2c/health_check?max_level=2").json["successes"]
    assert [found[name]["result"] for name in ("one", "two", "three", "four", "five")] == [1, 2, 3, 4, 5]
    config.registry["health_check"].runner.close()


def test_plug_ins_add_checks_later():
    """When the application is made, the object in the registry adds at once, and refuses a name that is taken."""
    config = Configurator()
    HealthCheck(config)
    app = TestApp(config.make_wsgi_app())
    health = config.registry["health_check"]
    health.add_custom_check("late", lambda request: "better")
    assert app.get("/c2c/health_check").json["successes"]["late"]["result"] == "better"
    with pytest.raises(ConfigurationError, match="Two health checks are named late"):
        health.add_custom_check("late", lambda request: None)
    config.registry["health_check"].runner.close()


def test_duplicates_stop_the_start_up():
    """Two checks of one name: where the second one is added."""
    config = Configurator()
    health = HealthCheck(config)
    health.add_custom_check("twice", lambda request: 1)
    with pytest.raises(ConfigurationError, match="Two health checks are named twice"):
        health.add_custom_check("twice", lambda request: 2)


def test_an_included_check_is_not_silently_replaced():
    """Nor one of a plug-in by the application's."""

    def plug_in(config):
        config.add_health_check("twice", lambda request: 1)

    config = Configurator()
    config.include("c2c_health")
    config.include(plug_in)
    with pytest.raises(ConfigurationError, match="Two health checks are named twice"):
        config.add_health_check("twice", lambda request: 2)


def test_including_twice_changes_nothing():
    """Before and after a commit."""
    config = Configurator()
    config.include("c2c_health")
    config.add_health_check("one", lambda request: 1)
    config.include("c2c_health")
    config.commit()
    config.include("c2c_health")
    HealthCheck(config).add_custom_check("two", lambda request: 2)
    app = TestApp(config.make_wsgi_app())
    assert set(app.get("/c2c/health_check").json["successes"]) == {"one", "two"}
    config.registry["health_check"].runner.close()


def test_two_applications_do_not_know_each_other():
    """Each has its own checks."""
    configs = [Configurator(), Configurator()]
    for number, config in enumerate(configs):
        HealthCheck(config).add_custom_check(f"c{number}", lambda request: None)
        config.make_wsgi_app()
    assert [_names(config.registry) for config in configs] == [["c0"], ["c1"]]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("x", None), {}, "wants a function of the request"),
        (("x", lambda a, b: None), {}, "called with the request: missing"),
        (("x", lambda: None), {}, "called with the request: too many"),
        (("x", 42), {}, "wants a function of the request"),
        (("x", _later), {}, "not async"),
        (("x", lambda request: None), {"level": -1}, "level must be a whole number from 1"),
    ],
)
def test_bad_arguments(arguments, options, message):
    """They name the check and the remedy."""
    config = Configurator()
    config.include("c2c_health")
    with pytest.raises(ConfigurationError, match=message):
        config.add_health_check(*arguments, **options)


def test_a_plain_process():
    """Without an application, a server or a request, ``report`` runs the checks."""
    health = HealthCheck(Configurator(settings={"c2c.health.failure_status": "503"}))
    health.add_custom_check("method", lambda request: request.method)
    health.add_custom_check("bad", lambda request: 1 / 0, level=2)
    assert health.report()["successes"]["method"]["result"] == "GET"
    assert health.report(max_level=2)["status"] == 503
    assert set(health.report(checks=["bad"])["failures"]) == {"bad"}
    with pytest.raises(ValueError, match="Unknown health check"):
        health.report(checks=["nope"])
    health._config.registry["health_check"].runner.close()


def test_a_bad_setting_stops_the_start_up():
    """It names variable and key."""
    with pytest.raises(ConfigurationError, match=r"health\.failure_status"):
        HealthCheck(Configurator(settings={"c2c.health.failure_status": "200"}))
