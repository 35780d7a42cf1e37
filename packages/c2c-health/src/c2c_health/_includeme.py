"""What ``config.include("c2c_health")`` does."""

from typing import Any

from pyramid.config import Configurator
from pyramid.events import ApplicationCreated

from c2c_broadcast import load, masker_of
from c2c_health import _views
from c2c_health._checks import checks_of, install
from c2c_health._directive import add_health_check
from c2c_health._health_check import HealthCheck
from c2c_health._settings import HealthSettings


def includeme(config: Configurator) -> None:
    """Add health checks and versions: ``config.include("c2c_health")``.

    Gives ``config.add_health_check(...)``, ``GET {base}/health_check`` and what the README lists.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(HealthSettings, config.get_settings())
    install(config.registry, settings, masker_of(config.registry))
    config.registry.setdefault("health_check", HealthCheck.of(config))
    config.add_directive("add_health_check", add_health_check)
    config.add_operator_view(_views.health_check, name="health_check", path="/health_check", public=True)
    config.add_subscriber(_application_created, ApplicationCreated)


def _application_created(event: Any) -> None:
    checks_of(event.app.registry).live = True
