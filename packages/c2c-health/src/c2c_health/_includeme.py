"""What ``config.include("c2c_health")`` does."""

from typing import Any

from pyramid.config import Configurator
from pyramid.events import ApplicationCreated

from c2c_broadcast import Link, Live, Section, load, masker_of
from c2c_health import _everywhere, _versions, _views
from c2c_health._automatic import go_live
from c2c_health._checks import checks_of, install
from c2c_health._directive import add_health_check
from c2c_health._health_check import HealthCheck
from c2c_health._settings import HealthSettings

_SEEN = "c2c_health.included"
_EVERY_LEVEL = "1000000"
_LOOK_AGAIN = 10.0  # seconds


def includeme(config: Configurator) -> None:
    """Add health checks and versions: ``config.include("c2c_health")``.

    Gives ``config.add_health_check(...)`` and, under the base path, ``health_check``, ``health/live``, ``health/ready``
    and, where there is a version file, ``versions.json``; all of them are public.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(HealthSettings, config.get_settings())
    checks = install(config.registry, settings, masker_of(config.registry))
    HealthCheck(config)
    if _SEEN not in config.registry:
        config.registry[_SEEN] = True
        checks.versions = _versions.read(settings.versions_path)
        if checks.versions is not None:
            _versions.log_start(checks.versions)
        _everywhere.subscribe(config.registry, checks)
    config.add_directive("add_health_check", add_health_check)
    config.add_operator_view(_views.health_check, name="health_check", path="/health_check", public=True)
    config.add_operator_view(_views.live, name="health_live", path="/health/live", public=True)
    config.add_operator_view(_views.ready, name="health_ready", path="/health/ready", public=True)
    if checks.versions is not None:
        config.add_operator_view(_views.versions, name="versions", path="/versions.json", public=True)
    config.add_section(_section(versions=checks.versions is not None))
    if checks.versions is not None:
        config.add_section(_VERSIONS)
    config.add_subscriber(_application_created, ApplicationCreated)


def _application_created(event: Any) -> None:
    registry = event.app.registry
    go_live(registry, checks_of(registry))


_VERSIONS = Section(
    name="versions",
    title="Versions",
    order=85,
    operators_only=False,
    live=(Live(title="Packages", kind="versions", route="c2c_versions", help="as the version file says"),),
)


def _section(*, versions: bool) -> Section:
    links = [
        Link(title="Level 1", route="c2c_health_check", help="what the service can't work without"),
        Link(title="All", route="c2c_health_check", query={"max_level": _EVERY_LEVEL}, help="every check there is"),
        Link(title="Live", route="c2c_health_live", help="this process only"),
        Link(title="Ready", route="c2c_health_ready", help="may a balancer send requests here"),
    ]
    if versions:
        links.append(Link(title="Versions", route="c2c_versions", help="of the service and its packages"))
    live = Live(
        title="Checks", kind="health", route="c2c_health_check", query={"max_level": _EVERY_LEVEL}, every=_LOOK_AGAIN
    )
    return Section(name="health", title="Health", order=10, operators_only=False, links=tuple(links), live=(live,))
