"""The file in which a process keeps its numbers, for the other processes of the service to read.

Segments of 64 KiB; each: the magic word, the number of bytes used (8 bytes), then records. A record: its length and
that of its key (4 bytes each), the key (UTF-8), zeros up to a multiple of 8, then doubles. Native byte order: it never
leaves this host. Only its process writes; the number of bytes used is written last, so that a reader sees whole
records. Each double is written and read in one piece, being aligned.
"""

import json
import logging
import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import add

from c2c_stats._notices import later
from c2c_stats._series import MOST, OVERFLOW, Identity
from c2c_stats._store import MOST_SERIES
from c2c_stats.prometheus._exposition import Record

_LOG = logging.getLogger(__name__)

SEGMENT = 64 * 1024
_MAGIC = b"c2cstat1"
_NOT_YET = bytes(8)
_HEAD = 16
_LONGEST_KEY = 16 * 1024
_USED = struct.Struct("=Q")
_LENGTHS = struct.Struct("=II")

Numbers = tuple[float, ...]


class CellsFile:
    """Write a file of numbers: ``fd`` is an empty file, which this object closes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = 0
        self._maps: list[mmap.mmap] = []
        self._used = SEGMENT
        self._full = False

    def place(self, key: bytes, words: int) -> "memoryview[float] | None":
        """Return room for so many doubles, all zero, under a key; None where there is no more."""
        begin = _HEAD // 2 + -(-len(key) // 8) * 8
        size = begin + 8 * words
        if len(key) > _LONGEST_KEY or size > SEGMENT - _HEAD:
            return None
        if self._used + size > SEGMENT and not self._grow():
            return None
        segment, at = self._maps[-1], self._used
        _LENGTHS.pack_into(segment, at, size, len(key))
        segment[at + 8 : at + 8 + len(key)] = key
        self._used += size
        _USED.pack_into(segment, 8, self._used)
        return memoryview(segment)[at + begin : at + size].cast("d")

    def close(self) -> None:
        """Close the file; the memory given out stays valid for whoever holds it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _grow(self) -> bool:
        """Add a segment, whose room is taken now: a full disk must be an error here, not a signal (SIGBUS) later."""
        if self._full or self._fd < 0:
            return False
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._fd, self._size, SEGMENT)
            else:
                os.ftruncate(self._fd, self._size + SEGMENT)
            segment = mmap.mmap(self._fd, SEGMENT, offset=self._size)
        except (OSError, ValueError) as error:
            self._full = True
            later(_LOG, "Metrics: new series are not shown to Prometheus, their file can't grow: %s", error)
            return False
        _USED.pack_into(segment, 8, _HEAD)
        segment[:8] = _MAGIC
        self._maps.append(segment)
        self._size += SEGMENT
        self._used = _HEAD
        return True


def read_cells(fd: int) -> Iterator[tuple[bytes, Numbers]]:
    """Yield key and numbers of each record.

    Raises:
        ValueError: What is there is no such file, or broken.
    """
    size = os.fstat(fd).st_size
    if size < SEGMENT:
        return
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as data:
        for base in range(0, size - SEGMENT + 1, SEGMENT):
            magic = data[base : base + 8]
            if magic == _NOT_YET:
                return
            (used,) = _USED.unpack_from(data, base + 8)
            if magic != _MAGIC or not _HEAD <= used <= SEGMENT:
                raise ValueError("not of this version of c2c-stats")
            at, end = base + _HEAD, base + used
            while at < end:
                length, key_length = _LENGTHS.unpack_from(data, at) if at + 8 <= end else (0, 0)
                begin = 8 + -(-key_length // 8) * 8
                if length <= begin or length % 8 or at + length > end:
                    raise ValueError("a record without an end")
                key = data[at + 8 : at + 8 + key_length]
                yield key, struct.unpack_from(f"={(length - begin) // 8}d", data, at + begin)
                at += length


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
