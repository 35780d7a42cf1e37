"""Shortcuts: from the arguments of a call straight to its series, without making texts of them."""

from collections.abc import Hashable
from typing import Any

_MOST = 10_000
TAGS = object()
"""Stands between key and tags."""


def shortcut_of(path: Any, tags: Any) -> tuple[Hashable, ...] | None:
    """Return what the API looks a key up by; None where not all are texts: 1, 1.0 and True are one to a dict."""
    if not isinstance(path, list | tuple) or not all(type(part) is str for part in path):
        return None
    if not tags:
        return tuple(path)
    if isinstance(tags, dict) and all(type(name) is str and type(value) is str for name, value in tags.items()):
        return (*path, TAGS, *tags.items())
    return None


def remember(known: dict[Any, Any], shortcut: Hashable, found: Any) -> None:
    """Keep what a shortcut leads to; all others go when they are too many."""
    if len(known) >= _MOST:
        known.clear()
    known[shortcut] = found
