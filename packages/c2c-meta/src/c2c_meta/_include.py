"""What ``config.include("c2c_meta")`` does: all packages, in order, and what joins them."""

import importlib
from importlib.util import find_spec
from typing import Any

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError, load
from c2c_meta import _glue
from c2c_meta._coverage import start_coverage
from c2c_meta._packages import OPTIONAL_SHORT_NAMES, SHORT_NAMES
from c2c_meta._settings import MetaSettings

_KEY = "c2c_meta.included"


def includeme(config: Configurator) -> None:
    """Add the whole toolkit: ``config.include("c2c_meta")``.

    The setting ``c2c.exclude`` names packages to leave out, by import name; the base can't be one.

    Raises:
        ConfigurationError: ``c2c.exclude`` names something else, or a setting of a package can't be read.
    """
    start_coverage()
    settings = load(MetaSettings, config.get_settings())
    names = [name for name in SHORT_NAMES.values() if name != "c2c_broadcast"] + [OPTIONAL_SHORT_NAMES["auth"]]
    unknown = sorted(set(settings.exclude) - set(names))
    if unknown:
        raise ConfigurationError(
            f"C2C_EXCLUDE (ini key c2c.exclude) names {', '.join(unknown)}: there are {', '.join(names)}"
        )
    config.include("c2c_broadcast")
    if find_spec("c2c_auth") is None:
        names.remove("c2c_auth")
    included = config.registry.setdefault(_KEY, [])
    for name in names:
        if name not in settings.exclude and hasattr(importlib.import_module(name), "includeme"):
            config.include(name)
            if name not in included:
                included.append(name)
    _glue.join(config, frozenset(included))


def included_packages(registry: Any) -> tuple[str, ...]:
    """Return the import names of the packages that take part in an application."""
    return tuple(registry.get(_KEY, ()))
