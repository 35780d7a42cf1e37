"""The packages of the toolkit, and where a name comes from: ``c2c_meta.HealthCheck`` imports c2c_health, no more."""

import ast
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = (
    *("c2c_broadcast", "c2c_logging", "c2c_sentry", "c2c_stats", "c2c_rest"),
    *("c2c_db", "c2c_health", "c2c_debug", "c2c_page"),
)
"""Import names; without ``c2c_`` they are the short ones.

The request id comes first, so that all that follows can log it; metrics are round the error views, so that they see
the status that the client sees.
"""

OPTIONAL_PACKAGES = ("c2c_auth", "c2c_testing")
"""Those that come with an extra, ``c2c-meta[auth]``; c2c_auth is included where it is installed."""

OWN_NAMES: Mapping[str, str] = {
    "IniError": "c2c_meta._ini",
    "Loader": "c2c_meta._loader",
    "bootstrap": "c2c_meta._bootstrap",
    "included_packages": "c2c_meta._glue",
    "includeme": "c2c_meta._glue",
    "ini_settings": "c2c_meta._ini",
    "start_coverage": "c2c_meta._coverage",
}
"""Names of c2c_meta's own -> where they are."""

_ALL = (*PACKAGES, *OPTIONAL_PACKAGES)


def find(name: str) -> Any:
    """Return what ``c2c_meta.name`` is, importing its package and no other.

    A name that several packages have is the first one's, in the order of inclusion; the others' are read from their
    package: ``c2c_meta.State`` is c2c_db's, ``c2c_meta.health.State`` c2c_health's.

    Raises:
        AttributeError: there is no such name, or it comes with an extra that is not installed
    """
    if f"c2c_{name}" in _ALL and find_spec(f"c2c_{name}"):
        return import_module(f"c2c_{name}")
    if name in OWN_NAMES:
        return getattr(import_module(OWN_NAMES[name]), name)
    for package in () if name.startswith("_") else _ALL:
        if name in public_names(package):
            return getattr(import_module(package), name)
    extras = [package.removeprefix("c2c_") for package in OPTIONAL_PACKAGES if not find_spec(package)]
    missing = ", ".join(f"pip install 'c2c-meta[{extra}]'" for extra in extras)
    more = f" (some come with an extra: {missing})" if missing else ""
    raise AttributeError(f"module 'c2c_meta' has no attribute {name!r}, nor has any package of the toolkit{more}")


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
