"""What ``config.include(c2cwsgiutils.pyramid.includeme)`` does."""

import logging

from pyramid.config import Configurator

from c2c_broadcast import load
from c2c_compat._additional import add_sections
from c2c_compat._loggers import adopt
from c2c_stats import StatsSettings

_LOG = logging.getLogger(__name__)
_KEY = "c2c_compat.included"
_RESET = "c2c.stats_public_reset"


def add(config: Configurator) -> None:
    """Add c2c-meta, keep open what was open, and say so, once an application."""
    adopt()
    settings = config.get_settings()
    settings.setdefault(_RESET, "true")
    config.include("c2c_meta")
    add_sections(config)
    if config.registry.setdefault(_KEY, False):
        return
    config.registry[_KEY] = True
    if load(StatsSettings, settings).stats_public_reset:
        _LOG.warning(
            "c2c-compat keeps open what was open in c2cwsgiutils 3: everybody may reset stats.json, where STATS_VIEW "
            "is on; C2C_STATS_PUBLIC_RESET=false (ini key %s) closes it",
            _RESET,
        )
