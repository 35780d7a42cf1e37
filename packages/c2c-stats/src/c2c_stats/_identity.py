"""What makes a series: its kind, its names, its labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Kind = Literal["counter", "gauge", "timer"]
Pairs = tuple[tuple[str, str], ...]

LONGEST = 450
"""Characters of a part of a key, and of the value of a tag."""
MOST_PARTS = 20
OVERFLOW = "_overflow"


@dataclass(frozen=True, slots=True)
class Identity:
    """One series: as labels (Prometheus) and as path and tags (statsd, stats.json).

    An automatic metric without tags has its labels in its path: name ``("route",)``, labels ``(("method", "GET"),
    ...)``, path ``("route", "GET", "hello", "200")``, no tags. Everywhere else both ways are the same.
    """

    kind: Kind
    name: tuple[str, ...]
    labels: Pairs
    path: tuple[str, ...]
    tags: Pairs


def text_of(part: Any) -> str:
    """Return a part of a key, or a tag, as text: an enumeration's member by its value, which it is equal to."""
    if isinstance(part, Enum):
        part = part.value
    return str.__str__(part) if isinstance(part, str) else str(part)


def parts_of(path: Iterable[Any]) -> tuple[str, ...]:
    """Return the parts of a key as texts that are short enough; a text is a key of one part."""
    words = (path,) if isinstance(path, str) else path
    parts = tuple(text_of(part)[:LONGEST] for part in words)
    return parts[:MOST_PARTS] or ("_",)


def pairs_of(tags: Mapping[Any, Any] | None) -> Pairs:
    """Return tags as sorted pairs of texts; one without a value (None) is left out."""
    if not tags:
        return ()
    return tuple(sorted((text_of(k)[:LONGEST], text_of(v)[:LONGEST]) for k, v in tags.items() if v is not None))[
        :MOST_PARTS
    ]


def identify(kind: Kind, path: Iterable[Any], tags: Mapping[Any, Any] | None) -> Identity:
    """Return the identity of a series of the API."""
    parts, pairs = parts_of(path), pairs_of(tags)
    return Identity(kind, parts, pairs, parts, pairs)


def overflow(identity: Identity) -> Identity:
    """Return the series that takes what comes after a metric's last allowed one."""
    labels = tuple((name, OVERFLOW) for name, _ in identity.labels)
    if identity.path == identity.name:
        return Identity(identity.kind, identity.name, labels, identity.path, labels)
    tags = tuple((name, OVERFLOW) for name, _ in identity.tags)
    path = identity.name if tags else (*identity.name, OVERFLOW)
    return Identity(identity.kind, identity.name, labels, path, tags)


def overflow_of_names(kind: Kind) -> Identity:
    """Return the series that takes what comes after the last allowed name."""
    return Identity(kind, (OVERFLOW,), (), (OVERFLOW,), ())


def is_overflow(identity: Identity) -> bool:
    """Tell whether a series is an overflow, or one that calls itself so."""
    return OVERFLOW in identity.name or any(value == OVERFLOW for _, value in identity.labels)
