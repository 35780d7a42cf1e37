"""The processes of one service on this host, and the numbers of all of them, of those that ended too.

A process keeps its numbers in a file that the others read. Segments of 64 KiB; each: the magic word, the number of
bytes used (8 bytes), then records. A record: its length and that of its key (4 bytes each), the key (UTF-8), zeros up
to a multiple of 8, then doubles. Native byte order: it never leaves this host. Only its process writes; the number of
bytes used is written last, so that a reader sees whole records. Each double is written and read in one piece, being
aligned. What ended is in one file of JSON.
"""

import contextlib
import fcntl
import json
import logging
import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import add
from pathlib import Path

from c2c_broadcast.process import Process, family, service_folder, this_process
from c2c_stats._notices import later
from c2c_stats._series import MOST, MOST_SERIES, OVERFLOW, Identity, Kind, Pairs
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
Merged = dict[bytes, Numbers]
"""Key of a series -> its numbers."""


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
            else:  # macOS
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
                numbers = struct.unpack_from(f"={(length - begin) // 8}d", data, at + begin)
                yield data[at + 8 : at + 8 + key_length], numbers
                at += length


def key_of(identity: Identity, bounds: tuple[float, ...]) -> bytes:
    """Return the key of a series in a file: what Prometheus tells series apart by."""
    return _key(identity.kind, identity.name, identity.labels, bounds)


def _key(*parts: object) -> bytes:
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@lru_cache(16_384)
def _parsed(key: bytes) -> tuple[Kind, tuple[str, ...], Pairs, tuple[float, ...], int]:
    """Return what a key is made of, and how many numbers its record has."""
    kind, name, labels, bounds = json.loads(key)
    words = {"counter": 1, "gauge": 2, "timer": len(bounds) + 2}[kind]
    return kind, tuple(name), tuple((label, value) for label, value in labels), tuple(bounds), words


def record_of(key: bytes, numbers: Numbers) -> Record | None:
    """Return a series as the exposition wants it; None for a gauge that was never set."""
    kind, name, labels, bounds, _ = _parsed(key)
    if kind == "gauge" and not numbers[1]:
        return None
    return Record(kind, name, labels, bounds, numbers)


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
    """Return numbers of processes that ended, held to the limit of series: what is above it goes to the overflow.

    Of gauges the ones set last stay, because a sum of gauges says nothing.
    """
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


_ENDED = "ended"
_LOCK = "lock"
_ORIGIN = "origin"
_TRIES = 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Group:
    """This process's place among the others: a folder with a file for each, and one for all that ended.

    A process that ends, even by SIGKILL, leaves its file; whoever comes next adds it to the file ``ended`` and removes
    it. The folder goes with the last process of the service.
    """

    def __init__(self, folder: Path, me: Process) -> None:
        self._folder = folder
        self._name, fd = _own_file(folder, me)
        self._file = CellsFile(fd)
        self._said: set[str] = set()

    @classmethod
    def join(cls) -> "Group":
        """Take part; also tidy up after those that ended.

        Raises:
            OSError: No private folder can be had.
        """
        group = cls(_shared_folder(), this_process())
        group.absorb()
        return group

    def place(self, identity: Identity, bounds: tuple[float, ...], words: int) -> "memoryview[float] | None":
        """Return memory for a series in this process's file."""
        return self._file.place(key_of(identity, bounds), words)

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._file.close()

    def leave(self) -> None:
        """Take this process's numbers away."""
        with contextlib.suppress(OSError):
            (self._folder / self._name).unlink()
        self.close()

    def members(self) -> list[Process]:
        """Return the living processes that have a file."""
        return sorted(process for process in {Process.parse(name) for name in self._names()} if process.alive)

    def read(self) -> Merged:
        """Return the numbers of all processes added up. Waits for nobody: it reads anew where someone tidies up."""
        self.absorb()
        merged: Merged = {}
        for _ in range(_TRIES):
            merged, held, generation = self._ended()
            for name in self._names():
                if name not in held:
                    self._add(merged, name)
            if self._ended()[2] == generation:
                break
        return merged

    def absorb(self) -> None:
        """Add the files of processes that ended to the one file, and remove them; nothing where someone else does."""
        if not self._names_of_ended():
            return
        # Where any of this fails, the next one has another try.
        with contextlib.suppress(OSError):
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._absorb(self._names_of_ended())
            finally:
                os.close(lock)

    def _absorb(self, names: list[str]) -> None:
        if not names:
            return  # another process was quicker
        merged, held, generation = self._ended()
        for name in names:
            if name not in held:
                self._add(merged, name)
        # Never a generation that was there before: whoever reads meanwhile knows by it. ``holds`` is for the case that
        # the files of processes can't all be removed.
        numbers = {key.decode(): values for key, values in _limited(merged).items()}
        text = json.dumps({"generation": generation + 1, "holds": names, "numbers": numbers}, ensure_ascii=False)
        new = self._folder / f"{_ENDED}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, _NEW, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        new.rename(self._folder / _ENDED)
        for name in names:
            (self._folder / name).unlink()

    def _ended(self) -> tuple[Merged, set[str], int]:
        """Return the numbers of those that ended, whose they are, and how often this was written."""
        try:
            found = json.loads((self._folder / _ENDED).read_bytes())
            numbers = {key.encode(): tuple(values) for key, values in found["numbers"].items()}
            for record in numbers.items():
                _check(*record)
            return numbers, set(found["holds"]), found["generation"]
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._say(_ENDED, error)
        return {}, set(), 0

    def _add(self, merged: Merged, name: str) -> None:
        """Add what a file holds; one that is broken, or of a later version of c2c-stats, is left out."""
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            records = list(read_cells(fd))
            for key, numbers in records:
                _check(key, numbers)
            _add_to(merged, records)
        except ValueError as error:
            self._say(name, error)
        finally:
            os.close(fd)

    def _say(self, name: str, error: Exception) -> None:
        if name not in self._said:
            self._said.add(name)
            later(_LOG, "Metrics of a process are left out, its file %s is broken: %s", name, error)

    def _names(self) -> list[str]:
        names = sorted(os.listdir(self._folder))  # noqa: PTH208 # names
        return [name for name in names if name.count("-") == 2 and name.replace("-", "0").isdigit()]  # noqa: PLR2004 # pid, ticks, number

    def _names_of_ended(self) -> list[str]:
        return [name for name in self._names() if name != self._name and not Process.parse(name).alive]


def _shared_folder() -> Path:
    """Return the folder of this family's numbers; after an upgrade (USR2) that of the master that was there before.

    gunicorn then starts a new master beside the old one, and both answer scrapes for a while: with one folder no
    counter steps back. Each family keeps the name of its folder, because the old one's processes will be gone.
    """
    own = service_folder("stats")
    above = own.parent.parent
    try:
        name = (own / _ORIGIN).read_text()
    except OSError:
        name = _before_upgrade(above) or own.parent.name
        with contextlib.suppress(OSError):
            new = own / f"{_ORIGIN}.{os.getpid()}"
            new.write_text(name)
            new.rename(own / _ORIGIN)
    found = above / name
    if found == own.parent or not (found / own.name).is_dir():
        return own
    for user in (this_process(), family().root):
        (found / user.name).touch(0o600)  # says, as service_folder does: this process uses the folder
    return found / own.name


def _before_upgrade(above: Path) -> str | None:
    """Return the name of the folder of the family whose master this one's takes the place of."""
    us = family()
    try:
        variables = (us.proc / str(us.root.pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    old = next((one.partition(b"=")[2].decode() for one in variables if one.startswith(b"GUNICORN_PID=")), "")
    for path in above.glob(f"{us.namespace}-{old}-*") if old.isdigit() else ():
        with contextlib.suppress(OSError, ValueError):
            if Process.parse(path.name.partition("-")[2]).ticks < us.root.ticks:
                return (path / "stats" / _ORIGIN).read_text()
    return None


def _own_file(folder: Path, me: Process) -> tuple[str, int]:
    """Make this process's file; one that it made before, and left, is another's now."""
    for number in range(1000):
        name = f"{me.name}-{number}"
        with contextlib.suppress(FileExistsError):
            return name, os.open(folder / name, _NEW, 0o600)
    raise FileExistsError(f"Too many files of process {me.pid}")
