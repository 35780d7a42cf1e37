"""The ``init`` that services call with a configurator, and scripts without."""

from collections.abc import Mapping
from typing import Any

from pyramid.config import Configurator

import c2c_sentry
from c2c_broadcast import broadcast
from c2c_compat._include import include


def init_broadcast(config: Configurator | Mapping[str, Any] | None = None) -> None:
    """Set broadcasts up: as ``config.include("c2c_broadcast")``; in a script by the environment (and settings).

    Raises:
        ConfigurationError: A setting can't be read.
    """
    if isinstance(config, Configurator):
        include(config, "c2c_broadcast")
    else:
        broadcast.init(config)
        broadcast.start()


def init_sentry(config: Configurator | Mapping[str, Any] | None = None) -> None:
    """Report errors: as ``config.include("c2c_sentry")``; in a script by the environment (and settings).

    Raises:
        ConfigurationError: A setting can't be read.
    """
    if isinstance(config, Configurator):
        include(config, "c2c_sentry")
    else:
        c2c_sentry.init(config)


def cleanup_broadcast() -> None:
    """Do nothing: a forked worker connects by itself, and keeps subscriptions. For gunicorn's ``post_fork``."""
