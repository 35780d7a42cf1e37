"""What ``config.include(c2cwsgiutils.pyramid.includeme)`` does, and the ``init(config)`` of the single modules."""

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from pyramid.config import Configurator

from c2c_broadcast import load
from c2c_broadcast.settings import warn_once
from c2c_compat._era import say_once, set_defaults
from c2c_compat._loggers import adopt
from c2c_compat._refusal import refuse
from c2c_debug import DebugSettings, stacks

_LOG = logging.getLogger(__name__)


def add(config: Configurator) -> None:
    """Add c2c-meta, keep open what was open, and say so, once an application."""
    from c2c_compat._driver import keep_driver

    keep_driver()
    include(config, "c2c_meta")
    config.include("c2cwsgiutils.index.add_sections")
    config.include("c2cwsgiutils.auth.add_routes")


def including(package: str, alone: Callable[[Mapping[str, Any] | None], Any] | None = None) -> Callable[..., None]:
    """Return the ``init(config)`` that includes a package, however often and from however many modules it is called.

    Where scripts call it without a configurator, ``alone`` does it by the environment, and settings if they are given.
    """

    def init(config: Any = None) -> None:
        if alone is None or isinstance(config, Configurator):
            include(config, package)
        else:
            alone(config)

    init.__doc__ = f"Call the package's includeme, config.include({package!r}); ConfigurationError for a bad setting."
    return init


def filter_factory_of(filter_app: Callable[..., Any]) -> Callable[..., Callable[[Any], Any]]:
    """Return the ``paste.filter_factory`` of what is a ``paste.filter_app_factory``, for PasteDeploy itself."""

    def filter_factory(global_conf: Mapping[str, str] | None, **local_conf: str) -> Callable[[Any], Any]:
        """Return what puts the filter round an application."""
        return lambda application: filter_app(application, global_conf, **local_conf)

    return filter_factory


def include(config: Configurator, package: str) -> None:
    """Include a package, with what was open in c2cwsgiutils 3 open."""
    refuse()  # the real one, installed later, has its __init__.py in the place of ours, which would have refused
    adopt()
    settings = config.get_settings()
    era = set_defaults(settings)
    config.include(package)
    if package in {"c2c_debug", "c2c_meta"} and load(DebugSettings, settings).debug_view_enabled:
        stacks.subscribe(import_module("c2cwsgiutils.debug").take_stacks)
    say_once(era, config.registry)
    if "c2c_stats" not in (import_module("c2c_meta").included_packages(config.registry) or (package,)):
        return
    from c2c_stats import StatsSettings

    if era.number == 6:  # noqa: PLR2004 # the era's number
        import_module("c2cwsgiutils.prometheus").tell_of_worker()
    if load(StatsSettings, settings).stats_public_reset:
        warn_once(
            _LOG,
            "c2c-compat keeps open what was open in c2cwsgiutils 3: everybody may reset stats.json, where STATS_VIEW "
            "is on; C2C_STATS_PUBLIC_RESET=false (ini key c2c.stats_public_reset) closes it",
        )
