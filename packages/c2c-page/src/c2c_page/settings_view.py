"""The settings that are in force, with where each came from, masked: ``GET {base}/settings``."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pyramid.config import Configurator

from c2c_broadcast import Live, Masker, Section, masker_of, resolve

_GROUP = "c2c.settings"
_COLUMNS = ("package", "name", "env", "key", "value", "origin", "source", "help")
_DIGEST = "c2c_page.settings_digest"
# Pyramid keeps each of its own settings under two names, and these of c2c are in the table by their own names.
_TWICE = "pyramid."


def add(config: Configurator) -> None:
    """Add the view and its section."""
    config.add_operator_view(_view, name="settings", path="/settings", level="read")
    live = Live(title="In force", kind="settings", route="c2c_settings", help="in this process; secrets are masked")
    config.add_section(Section(name="settings", title="Settings", order=90, live=(live,)))


def _view(request: Any) -> dict[str, Any]:
    """Return ``{"settings": [{"package", "name", "env", "key", "value", "origin", "source", "help"}]}``."""
    return {"settings": rows(request.registry.settings, os.environ, masker_of(request.registry))}


def rows(settings: Mapping[str, Any], environ: Mapping[str, str], masker: Masker) -> list[dict[str, Any]]:
    """Return the packages' settings, then the application's own from the ini file."""
    found = list(_declared(settings, environ, masker))
    known = {one["key"] for one in found} | {one["source"] for one in found}
    own = {
        key: value
        for key, value in settings.items()
        if isinstance(value, str) and key not in known and f"{_TWICE}{key}" not in settings
    }
    masked = masker.data(own)
    return found + [_row("", key, None, key, masked[key], "ini", key, "") for key in sorted(own)]


def _declared(settings: Mapping[str, Any], environ: Mapping[str, str], masker: Masker) -> Iterator[dict[str, Any]]:
    for package, declared in _classes():
        for outcome in resolve(declared, settings, environ):
            if not outcome.error:
                of = outcome.declaration
                value = masker(outcome.shown)
                yield _row(package, outcome.name, of.env, of.key, value, outcome.origin, outcome.source, of.help)


@cache
def _classes() -> list[tuple[str, type[Any]]]:
    return [(point.name, point.load()) for point in sorted(entry_points(group=_GROUP), key=lambda point: point.name)]


def _row(*values: str | None) -> dict[str, Any]:
    return dict(zip(_COLUMNS, values, strict=True))


def digest_of(registry: Any) -> str:
    """Return a short text that is the same in two processes with the same settings. Made once."""
    if _DIGEST not in registry:
        # Of what is masked: a digest of a secret would be a way to try secrets out.
        found = rows(registry.settings, os.environ, masker_of(registry))
        registry[_DIGEST] = digest([f"{one['package']} {one['name']}={one['value']}" for one in found])
    text: str = registry[_DIGEST]
    return text


def digest(lines: list[str]) -> str:
    """Return a short text that two processes share where these lines are the same for them."""
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "replace")).hexdigest()[:8]
