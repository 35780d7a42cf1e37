"""The whole c2c toolkit for Pyramid services: ``config.include("c2c_meta")``.

    import c2c_meta as c2c

    c2c.stats, c2c.db, c2c.health      # each package under its short name
    c2c.HealthCheck, c2c.setup_session # and every public name of each

Nothing is imported before it is asked for.
"""

import importlib
from typing import Any

from c2c_meta._packages import OPTIONAL_SHORT_NAMES, SHORT_NAMES

# Given by __getattr__, as are the packages and all their public names.
__all__ = ["IniError", "ShuttingDown", "bootstrap", "includeme"]

_OWN = {
    "IniError": "c2c_meta._ini",
    "ShuttingDown": "c2c_meta._events",
    "bootstrap": "c2c_meta._bootstrap",
    "includeme": "c2c_meta._include",
}


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _OWN:
        return getattr(importlib.import_module(_OWN[name]), name)
    packages = {**SHORT_NAMES, **OPTIONAL_SHORT_NAMES}
    if name in packages:
        return importlib.import_module(packages[name])
    for package in SHORT_NAMES.values():
        module = importlib.import_module(package)
        if name in getattr(module, "__all__", ()):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}, nor has any package of the toolkit")


def __dir__() -> list[str]:
    names = {*globals(), *_OWN, *SHORT_NAMES, *OPTIONAL_SHORT_NAMES}
    for package in SHORT_NAMES.values():
        names.update(getattr(importlib.import_module(package), "__all__", ()))
    return sorted(names)
