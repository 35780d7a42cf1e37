"""What a client wrote last, and whether a replica has it."""

from collections.abc import Mapping
from dataclasses import dataclass

# Seconds that reads stay on the primary after a write whose WAL position can't be had.
WINDOW = 2.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A commit: the WAL position after it (None where it can't be had), and when it was (seconds since 1970)."""

    position: int | None
    at: float


def later(one: Mark | None, other: Mark | None) -> Mark | None:
    """Return the mark that asks for more: the higher position, else the later time."""
    if one is None or other is None:
        return one or other
    if one.position is not None and other.position is not None:
        return one if one.position >= other.position else other
    return one if one.at >= other.at else other


def merge(one: Mapping[str, Mark], other: Mapping[str, Mark]) -> dict[str, Mark]:
    """Return the later mark of each database."""
    merged = dict(one)
    for name, mark in other.items():
        found = later(merged.get(name), mark)
        assert found is not None
        merged[name] = found
    return merged


def in_window(mark: Mark, now: float, window: float) -> bool:
    """Tell whether a commit without a position is so recent that no replica is trusted to have it."""
    return now - mark.at < window
