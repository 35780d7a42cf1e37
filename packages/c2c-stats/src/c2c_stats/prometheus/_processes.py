"""The processes of one service on this host, and the numbers of all of them, of those that ended too.

A process keeps its numbers in a file that the others read: a magic word, the number of bytes used (8 bytes), then
records. A record: its length and that of its key (4 bytes each), the key (UTF-8), zeros up
to a multiple of 8, then doubles. Native byte order: it never leaves this host. Only its process writes; the number of
bytes used is written last, so that a reader sees whole records. Each double is written and read in one piece, being
aligned. A key that is there twice counts twice.

A process that ends, even by SIGKILL, leaves its file, and the next one that begins takes it over by renaming it: at any
moment its numbers are in one file, whose name is the claim to it. So there are as many files as there ever were
processes at once, and nothing to lock or to wait for.
"""

import contextlib
import json
import logging
import mmap
import os
import re
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import add
from pathlib import Path

from c2c_broadcast.process import Process, family, service_folder, this_process
from c2c_stats._series import MOST, MOST_SERIES, OVERFLOW, Kind, Pairs, Series, later
from c2c_stats._sink import BuiltIn, Sink
from c2c_stats.prometheus._exposition import Record

_LOG = logging.getLogger(__name__)

SEGMENT = 64 * 1024
LARGEST = 512 * SEGMENT
_MAGIC = b"c2cstat1"
_HEADER = struct.Struct("=8sQ")
_HEAD = _HEADER.size
_LENGTHS = struct.Struct("=II")

Numbers = tuple[float, ...]
Merged = dict[bytes, Numbers]  # key of a series -> its numbers


class CellsFile:
    """Write a file of numbers: ``fd`` is an empty file, which this object closes."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._room = 0  # what is taken of the file by now; the rest has no memory yet
        os.ftruncate(fd, LARGEST)
        self._map = mmap.mmap(fd, LARGEST)
        self._used = _HEAD

    def place(self, key: bytes, words: int) -> "memoryview[float] | None":
        """Return room for so many doubles, all zero, under a key; None where there is no more."""
        begin = 8 + -(-len(key) // 8) * 8
        at, end = self._used, self._used + begin + 8 * words
        while end > self._room:
            if not self._grow():
                return None
        _LENGTHS.pack_into(self._map, at, end - at, len(key))
        self._map[at + 8 : at + 8 + len(key)] = key
        self._used = end
        _HEADER.pack_into(self._map, 0, _MAGIC, end)
        return memoryview(self._map)[at + begin : end].cast("d")

    def close(self) -> None:
        """Close the file; the memory given out stays valid for whoever holds it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _grow(self) -> bool:
        """Take more room now: a full disk must be an error here, not a signal (SIGBUS) later."""
        if self._fd is None:
            return False
        try:
            if self._room >= LARGEST:
                raise OSError(f"it has {LARGEST:,} bytes")  # noqa: TRY301 # said as a full disk is
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(self._fd, self._room, SEGMENT)
        except OSError as error:
            self.close()
            later(_LOG, "Metrics: new series are not shown to Prometheus, their file can't grow: %s", error)
        else:
            self._room += SEGMENT
        return self._fd is not None


def read_cells(fd: int) -> Iterator[tuple[bytes, Numbers]]:
    """Yield key and numbers of each record; ValueError or struct.error where this is no such file, or a broken one."""
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as data:
        magic, used = _HEADER.unpack_from(data)
        if magic == bytes(8):
            return  # nothing was recorded yet
        if magic != _MAGIC:
            raise ValueError("not of this version of c2c-stats")
        at = _HEAD
        while at < used:
            length, key_length = _LENGTHS.unpack_from(data, at)
            begin = 8 + -(-key_length // 8) * 8
            numbers = struct.unpack_from(f"={(length - begin) // 8}d", data, at + begin)
            yield data[at + 8 : at + 8 + key_length], numbers
            at += length


def key_of(series: Series) -> bytes:
    """Return the key of a series in a file: what Prometheus tells series apart by."""
    return _key(series.identity.kind, series.identity.name, series.identity.labels, series.bounds)


def _key(*parts: object) -> bytes:
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@lru_cache(16_384)
def _parsed(key: bytes) -> tuple[Kind, tuple[str, ...], Pairs, tuple[float, ...], int]:
    """Return what a key is made of, and how many numbers its record has."""
    kind, name, labels, bounds = json.loads(key)
    words = {"counter": 1, "gauge": 2, "timer": len(bounds) + 2}[kind]
    return kind, tuple(name), tuple((label, value) for label, value in labels), tuple(bounds), words


def _check(key: bytes, numbers: Numbers) -> None:
    """Raise ValueError for a record that is none of ours."""
    try:
        kind, _, _, _, words = _parsed(key)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{key[:80]!r}") from error
    least = -MOST if kind == "gauge" else 0
    # The sum tells whether any of them is not a number.
    if len(numbers) != words or not (least <= min(numbers) and max(numbers) <= MOST and sum(numbers) >= least * words):
        raise ValueError(f"the numbers of {key[:80]!r}")


def _add_to(merged: Merged, records: Iterable[tuple[bytes, Numbers]]) -> None:
    """Add one process's numbers: sums, and of each gauge the value set last."""
    for key, numbers in records:
        known = merged.get(key)
        if known is None:
            merged[key] = numbers
        elif key.startswith(b'["g'):
            merged[key] = max(known, numbers, key=lambda gauge: gauge[1])
        else:
            merged[key] = tuple(map(add, known, numbers))


def _limited(merged: Merged) -> Merged:
    """Hold numbers of those that ended to the limit of series: others go to the overflow; of gauges the last stay."""
    kept: Merged = {}
    room: Counter[object] = Counter()
    for key in sorted(merged, key=lambda key: merged[key][1] if key.startswith(b'["g') else 0, reverse=True):
        kind, name, labels, bounds, _ = _parsed(key)
        room[kind, name] += 1
        if room[kind, name] <= MOST_SERIES:
            _add_to(kept, [(key, merged[key])])
        elif kind != "gauge":
            _add_to(kept, [(_key(kind, name, [(label, OVERFLOW) for label, _ in labels], bounds), merged[key])])
    return kept


_ORIGIN = "origin"
_TRIES = 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PrometheusBackend(BuiltIn):
    """Gives the series their memory in a file of a folder, which goes with the last process of the service."""

    def __init__(self, store: Sink, folder: Path | None = None) -> None:
        super().__init__(store)
        self._folder = self._given = folder
        self._file: CellsFile | None = None
        self._said: set[str] = set()

    def start(self) -> None:
        """Open this process's file; without one, its numbers are its own."""
        if self._file is None:
            try:
                self._folder = self._given or _shared_folder()
                self._file = self._own_file(self._folder)
            except OSError as error:
                later(_LOG, "Metrics: each process shows Prometheus its own numbers only: %s", error)
            else:
                self.place = self._room_for

    def forked(self) -> None:
        self.place = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Take this process's numbers away."""
        if self._file is not None and self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / this_process().name).unlink()
        self.forked()

    def members(self) -> list[Process]:
        """Return the living processes of the service that record, this one at least."""
        found = [Process.parse(name) for name in self._names()]
        return [process for process in found if process.alive] or [this_process()]

    def records(self) -> Iterator[Record]:
        merged = self.read() if self._file else {key_of(one): tuple(one.cells) for one in self._store.all()}
        for key, numbers in merged.items():
            kind, name, labels, bounds, _ = _parsed(key)
            if kind != "gauge" or numbers[1]:  # it was set
                yield Record(kind, name, labels, bounds, numbers)

    def read(self) -> Merged:
        """Return the numbers of all processes added up: read anew where a file was taken over meanwhile."""
        merged: Merged = {}
        for _ in range(_TRIES):
            names, merged = self._names(), {}
            for name in names:
                self._add(merged, name)
            if self._names() == names:
                break
        return merged

    def _room_for(self, series: Series) -> "memoryview[float] | None":
        return None if self._file is None else self._file.place(key_of(series), len(series.cells))

    def _own_file(self, folder: Path) -> CellsFile:
        """Make this process's file, with what is in that of one that ended, or in its own of before an exec."""
        own, new = folder / this_process().name, folder / f"{this_process().name}.new"
        for name in self._names() if not own.exists() else ():
            with contextlib.suppress(OSError):  # another process was quicker
                if not Process.parse(name).alive:
                    (folder / name).rename(own)
                    break
        past: Merged = {}
        self._add(past, own.name)
        new.unlink(missing_ok=True)
        file = CellsFile(os.open(new, _NEW, 0o600))
        for key, numbers in _limited(past).items():
            cells = file.place(key, len(numbers))
            if cells is None:
                file.close()
                raise OSError(f"no room in {folder}")  # what was there stays
            cells[:] = memoryview(array("d", numbers))
        new.rename(own)
        return file

    def _add(self, merged: Merged, name: str) -> None:
        """Add what a file holds; one that is broken, or of a later version of c2c-stats, is left out."""
        assert self._folder is not None
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            records = list(read_cells(fd))
            for key, numbers in records:
                _check(key, numbers)
            _add_to(merged, records)
        except (ValueError, struct.error) as error:
            if name not in self._said:
                self._said.add(name)
                later(_LOG, "Metrics of a process are left out, its file %s is broken: %s", name, error)
            if not Process.parse(name).alive:
                (self._folder / name).unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _names(self) -> list[str]:
        names = os.listdir(self._folder) if self._folder is not None else []  # noqa: PTH208 # names
        return sorted(name for name in names if re.fullmatch(r"\A\d+-\d+", name))


def _shared_folder() -> Path:
    """Return the folder of this family's numbers; after an upgrade (USR2) that of the master that was there before.

    gunicorn then starts a new master beside the old one, and both answer scrapes for a while: with one folder no
    counter steps back. Each family keeps the name of its folder, because the old one's processes will be gone.
    """
    own, us = service_folder("stats"), family()
    above, name = own.parent.parent, own.parent.name
    with contextlib.suppress(OSError):
        if us.starter is not None and os.environ.get("GUNICORN_PID") == str(us.starter.pid):
            name = (above / f"{us.namespace}-{us.starter.name}" / own.name / _ORIGIN).read_text()
    try:
        name = (own / _ORIGIN).read_text()
    except OSError:
        with contextlib.suppress(OSError):
            new = own / f"{_ORIGIN}.{os.getpid()}"
            new.write_text(name)
            new.rename(own / _ORIGIN)
    found = above / name
    if found == own.parent or not (found / own.name).is_dir():
        return own
    for user in (this_process(), us.root):
        (found / user.name).touch(0o600)  # says, as service_folder does: this process uses the folder
    return found / own.name
