"""What ``config.include("c2c_broadcast")`` does."""

import os
from typing import Any

from pyramid.config import Configurator
from pyramid.tweens import INGRESS

from c2c_broadcast import broadcast
from c2c_broadcast._access import install
from c2c_broadcast._light_requests import lighten_requests
from c2c_broadcast._operator_views import add_operator_view, guard
from c2c_broadcast._renderer import add_fallback_renderer
from c2c_broadcast.secrets import Masker
from c2c_broadcast.sections import add_section
from c2c_broadcast.settings import BroadcastSettings, load, warn_of_retired

_SETTINGS = "c2c_broadcast.settings"
_MASKER = "c2c_broadcast.masker"


def settings_of(registry: Any) -> BroadcastSettings:
    """Return the base's settings of an application that included it."""
    settings: BroadcastSettings = registry[_SETTINGS]
    return settings


def masker_of(registry: Any) -> Masker:
    """Return the application's masker: it knows the patterns, and the secrets in settings and environment."""
    if _MASKER not in registry:
        registry[_MASKER] = Masker.of(registry.settings or {}, os.environ)
    masker: Masker = registry[_MASKER]
    return masker


def includeme(config: Configurator) -> None:
    """Add the base: ``config.include("c2c_broadcast")``.

    Gives ``config.add_operator_view(...)`` and ``config.add_section(...)``, sets the process's broadcaster up (it
    begins to listen with the first request), and guards operator views.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    first = _SETTINGS not in config.registry
    settings = config.registry.setdefault(_SETTINGS, load(BroadcastSettings, config.get_settings()))
    access = install(config.registry, settings)
    config.add_directive("add_operator_view", add_operator_view)
    config.add_directive("add_section", add_section)
    config.add_view_deriver(guard, "c2c_operator")
    config.add_tween("c2c_broadcast._tween.tween_factory", under=INGRESS)
    add_fallback_renderer(config)
    lighten_requests(config, enabled=settings.light_requests)
    if first:
        warn_of_retired()
        # What is of the process and not of this application waits until the configuration is known to be a good one.
        config.action(None, broadcast.init, (settings,))
        access.lockout.share()
