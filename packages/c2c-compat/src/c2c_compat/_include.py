"""What ``config.include(c2cwsgiutils.pyramid.includeme)`` does, and the ``init(config)`` of the single modules."""

import logging
from collections.abc import Callable

from pyramid.config import Configurator

from c2c_broadcast import load
from c2c_compat._access import add_routes
from c2c_compat._additional import add_sections
from c2c_compat._era import say_once, set_defaults
from c2c_compat._loggers import adopt
from c2c_compat._refusal import refuse

_LOG = logging.getLogger(__name__)
_SAID = "c2c_compat.said"
_RESET = "c2c.stats_public_reset"


def add(config: Configurator) -> None:
    """Add c2c-meta, keep open what was open, and say so, once an application."""
    from c2c_compat._driver import keep_driver

    keep_driver()
    include(config, "c2c_meta")
    add_sections(config)
    add_routes(config)


def including(package: str) -> Callable[[Configurator], None]:
    """Return the ``init(config)`` that includes a package, however often and from however many modules it is called."""

    def init(config: Configurator) -> None:
        include(config, package)

    init.__doc__ = f"""Call the package's includeme: ``config.include({package!r})``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    return init


def include(config: Configurator, package: str) -> None:
    """Include a package, with what was open in c2cwsgiutils 3 open."""
    refuse()  # the real one, installed later, has its __init__.py in the place of ours, which would have refused
    adopt()
    settings = config.get_settings()
    era = set_defaults(settings)
    config.include(package)
    say_once(era, config.registry)
    if _SAID in config.registry or not _shows_stats(config, package):
        return
    from c2c_stats import StatsSettings

    config.registry[_SAID] = True
    if load(StatsSettings, settings).stats_public_reset:
        _LOG.warning(
            "c2c-compat keeps open what was open in c2cwsgiutils 3: everybody may reset stats.json, where STATS_VIEW "
            "is on; C2C_STATS_PUBLIC_RESET=false (ini key %s) closes it",
            _RESET,
        )


def _shows_stats(config: Configurator, package: str) -> bool:
    if package != "c2c_meta":
        return package == "c2c_stats"
    from c2c_meta import included_packages

    return "c2c_stats" in included_packages(config.registry)
