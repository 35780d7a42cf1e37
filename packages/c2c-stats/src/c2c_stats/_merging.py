"""Add up the numbers of several processes."""

import json
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from operator import add

from c2c_stats._cells_file import Numbers
from c2c_stats._exposition import Record
from c2c_stats._guard import MOST_SERIES
from c2c_stats._identity import OVERFLOW, Identity
from c2c_stats._numbers import MOST

Merged = dict[bytes, Numbers]
"""Key of a series -> its numbers."""


def key_of(identity: Identity, bounds: tuple[float, ...]) -> bytes:
    """Return the key of a series in a file: what Prometheus tells series apart by."""
    parts = [identity.kind, identity.name, identity.labels, bounds]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@lru_cache(16_384)
def _parsed(key: bytes) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...], tuple[float, ...]]:
    kind, name, labels, bounds = json.loads(key)
    return kind, tuple(name), tuple((label, value) for label, value in labels), tuple(bounds)


def record_of(key: bytes, numbers: Numbers) -> Record | None:
    """Return a series as the exposition wants it; None for a gauge that was never set."""
    kind, name, labels, bounds = _parsed(key)
    if kind == "gauge" and not numbers[1]:
        return None
    return Record(kind, name, labels, bounds, numbers)  # type: ignore[arg-type] # written by key_of


def checked(records: Iterable[tuple[bytes, Numbers]]) -> list[tuple[bytes, Numbers]]:
    """Return the records of a process that ended.

    Raises:
        ValueError: One of them is none of ours.
    """
    found = list(records)
    for key, numbers in found:
        try:
            kind, _, _, bounds = _parsed(key)
            words = {"counter": 1, "gauge": 2, "timer": len(bounds) + 2}[kind]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{key[:80]!r}") from error
        if len(numbers) != words or not all(-MOST <= number <= MOST for number in numbers):
            raise ValueError(f"the numbers of {key[:80]!r}")
        if kind != "gauge" and min(numbers) < 0:
            raise ValueError(f"the numbers of {key[:80]!r}")
    return found


def add_to(merged: Merged, records: Iterable[tuple[bytes, Numbers]]) -> None:
    """Add one process's numbers: sums, and of each gauge the value set last."""
    for key, numbers in records:
        known = merged.get(key)
        if known is None:
            merged[key] = numbers
        elif key.startswith(b'["g'):
            merged[key] = max(known, numbers, key=_when)
        else:
            merged[key] = tuple(map(add, known, numbers))


def _when(gauge: Numbers) -> float:
    return gauge[1]


def limited(merged: Merged) -> Merged:
    """Return numbers of processes that ended, held to the limit of series: what is above it goes to the overflow.

    Of gauges the ones set last stay, because a sum of gauges says nothing.
    """
    series = Counter(_parsed(key)[:2] for key in merged)
    if all(count <= MOST_SERIES for count in series.values()):
        return merged
    kept: Merged = {}
    room: Counter[object] = Counter()
    for key in sorted(merged, key=lambda key: _when(merged[key]) if key.startswith(b'["g') else 0, reverse=True):
        kind, name, labels, bounds = _parsed(key)
        room[kind, name] += 1
        if room[kind, name] <= MOST_SERIES:
            add_to(kept, [(key, merged[key])])
        elif kind != "gauge":
            rest = [kind, name, [(label, OVERFLOW) for label, _ in labels], bounds]
            text = json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode()
            add_to(kept, [(text, merged[key])])
    return kept
