"""The processes of one service on this host, and the numbers of all of them, of those that ended too."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from c2c_broadcast.process import Process, family, service_folder, this_process
from c2c_stats._notices import later
from c2c_stats._series import Identity
from c2c_stats.prometheus._cells import CellsFile, Merged, add_to, checked, key_of, limited, read_cells

_LOG = logging.getLogger(__name__)

_ENDED = "ended"
_LOCK = "lock"
_ORIGIN = "origin"
# Records of the file "ended" that are no series: how often it was written, and which processes it holds, in case their
# files could not all be removed.
_GENERATION = b"generation"
_HOLDS = b"holds "
_NAMES_A_RECORD = 200
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
        new = self._folder / f"{_ENDED}.new"
        new.unlink(missing_ok=True)
        file = CellsFile(os.open(new, _NEW, 0o600))
        try:
            # Never a number that was there before: whoever reads meanwhile knows by it.
            _write(file, _GENERATION, (generation + 1,))
            for begin in range(0, len(names), _NAMES_A_RECORD):
                _write(file, _HOLDS + " ".join(names[begin : begin + _NAMES_A_RECORD]).encode(), (1,))
            for key, numbers in limited(merged).items():
                _write(file, key, numbers)
        finally:
            file.close()
        new.rename(self._folder / _ENDED)
        for name in names:
            (self._folder / name).unlink()

    def _ended(self) -> tuple[Merged, set[str], float]:
        """Return the numbers of those that ended, whose they are, and how often this was written."""
        merged: Merged = {}
        self._add(merged, _ENDED)
        (generation,) = merged.pop(_GENERATION, (0.0,))
        held: set[str] = set()
        for key in [key for key in merged if key.startswith(_HOLDS)]:
            del merged[key]
            held.update(key.removeprefix(_HOLDS).decode().split())
        return merged, held, generation

    def _add(self, merged: Merged, name: str) -> None:
        """Add what a file holds; one that is broken, or of a later version of c2c-stats, is left out."""
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            records = list(read_cells(fd))
            add_to(merged, records if name == _ENDED else checked(records))
        except ValueError as error:
            if name not in self._said:
                self._said.add(name)
                later(_LOG, "Metrics of a process are left out, its file %s is broken: %s", name, error)
        finally:
            os.close(fd)

    def _names(self) -> list[str]:
        return [name for name in sorted(os.listdir(self._folder)) if _is_of_process(name)]  # noqa: PTH208 # names

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
        try:
            return name, os.open(folder / name, _NEW, 0o600)
        except FileExistsError:
            continue
    raise FileExistsError(f"Too many files of process {me.pid}")


def _is_of_process(name: str) -> bool:
    parts = name.split("-")
    return len(parts) == 3 and all(part.isdigit() for part in parts)  # noqa: PLR2004 # pid, ticks, number


def _write(file: CellsFile, key: bytes, numbers: Iterable[float]) -> None:
    values = tuple(numbers)
    cells = file.place(key, len(values))
    if cells is None:
        raise OSError("no room for the numbers of processes that ended")
    for index, value in enumerate(values):
        cells[index] = value
