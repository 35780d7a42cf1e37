"""The packages of the toolkit, and where a name comes from: ``c2c_meta.HealthCheck`` imports c2c_health, no more."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

SHORT_NAMES = MappingProxyType(
    {
        "broadcast": "c2c_broadcast",
        "logging": "c2c_logging",
        "sentry": "c2c_sentry",
        "stats": "c2c_stats",
        "rest": "c2c_rest",
        "db": "c2c_db",
        "health": "c2c_health",
        "debug": "c2c_debug",
        "page": "c2c_page",
    }
)
"""Short name -> import name.

The request id comes first, so that all that follows can log it; metrics are round the error views, so that they see
the status that the client sees.
"""

OPTIONAL_SHORT_NAMES = MappingProxyType({"auth": "c2c_auth", "testing": "c2c_testing"})
"""Those that come with an extra, ``c2c-meta[auth]``; c2c_auth is included where it is installed."""

OWN_NAMES = MappingProxyType(
    {
        "IniError": "c2c_meta._ini",
        "Loader": "c2c_meta._loader",
        "ShuttingDown": "c2c_meta._workers",
        "bootstrap": "c2c_meta._bootstrap",
        "included_packages": "c2c_meta._glue",
        "includeme": "c2c_meta._glue",
        "ini_settings": "c2c_meta._ini",
        "start_coverage": "c2c_meta._coverage",
    }
)
"""Names of c2c_meta's own -> where they are."""

_PACKAGES = MappingProxyType({**SHORT_NAMES, **OPTIONAL_SHORT_NAMES})

_EXTRAS = MappingProxyType({package: extra for extra, package in OPTIONAL_SHORT_NAMES.items()})


def find(name: str) -> Any:
    """Return what ``c2c_meta.name`` is, importing its package and no other.

    A name that several packages have is the first one's, in the order of inclusion; the others' are read from their
    package: ``c2c_meta.State`` is c2c_db's, ``c2c_meta.health.State`` c2c_health's.

    Raises:
        AttributeError: there is no such name, or it comes with an extra that is not installed
    """
    if name in _PACKAGES:
        return _imported(_PACKAGES[name], name)
    if name in OWN_NAMES:
        return getattr(import_module(OWN_NAMES[name]), name)
    for package in () if name.startswith("_") else _PACKAGES.values():
        if name in public_names(package):
            return getattr(_imported(package, name), name)
    missing = [f"pip install 'c2c-meta[{extra}]'" for package, extra in _EXTRAS.items() if not find_spec(package)]
    more = f" (some come with an extra: {', '.join(missing)})" if missing else ""
    raise AttributeError(f"module 'c2c_meta' has no attribute {name!r}, nor has any package of the toolkit{more}")


def names() -> Iterator[str]:
    """Yield all names that there are here; nothing is imported."""
    yield from OWN_NAMES
    for short, package in _PACKAGES.items():
        if find_spec(package):
            yield short
            yield from public_names(package)


@cache
def public_names(package: str) -> frozenset[str]:
    """Return a package's ``__all__``, read from its source: importing all packages to find one name would be slow."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return frozenset()
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def _imported(package: str, name: str) -> ModuleType:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise  # a broken installation
        raise AttributeError(f"c2c_meta.{name} comes with an extra: pip install 'c2c-meta[{extra}]'") from error
