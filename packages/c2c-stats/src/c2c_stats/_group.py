"""The processes of one service on this host, and the numbers of all of them, of those that ended too."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable

from c2c_stats._cells_file import CellsFile, read_cells
from c2c_stats._identity import Identity
from c2c_stats._merging import Merged, add_to, key_of, limited
from c2c_stats._private_folder import names_in, open_folder, open_private_folder
from c2c_stats._processes import Process, namespace, root_of_forks, this_process

_ENDED = "ended"
_LOCK = "lock"
# Records of the file "ended" that say which processes it holds, in case their files could not all be removed; their
# number counts how often it was written.
_HOLDS = b"holds "
_NAMES_A_RECORD = 200
_TRIES = 5
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Group:
    """This process's place among the others: a folder with a file for each, and one for all that ended.

    The folder is named after the process that all were forked from, and closed to other users. A process that ends,
    even by SIGKILL, leaves its file; whoever comes next adds it to the file ``ended`` and removes it.
    """

    def __init__(self, folder: int, me: Process, root: Process) -> None:
        self._folder = folder
        self._is_root = me == root
        self._name, fd = _own_file(folder, me)
        self._file = CellsFile(fd)

    @classmethod
    def join(cls) -> "Group":
        """Take part; also tidy up after those that ended.

        Raises:
            OSError: No private folder can be had.
        """
        above = open_private_folder()
        try:
            root = root_of_forks()
            own = f"{namespace()}-{_name(root)}"
            _remove_ended_groups(above, own)
            group = cls(open_folder(own, above), this_process(), root)
        finally:
            os.close(above)
        group.absorb()
        return group

    def place(self, identity: Identity, bounds: tuple[float, ...], words: int) -> "memoryview[float] | None":
        """Return memory for a series in this process's file."""
        return self._file.place(key_of(identity, bounds), words)

    def close(self) -> None:
        """Let go of the files, which stay."""
        self._file.close()
        os.close(self._folder)

    def leave(self) -> None:
        """Take this process's numbers away."""
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder)
        self.close()

    def end(self) -> None:
        """Remove all, at the end of the process that all were forked from; others leave their numbers to those left."""
        if self._is_root and len(self.members()) == 1:
            for name in names_in(self._folder):
                os.unlink(name, dir_fd=self._folder)

    def members(self) -> list[Process]:
        """Return the living processes that have a file."""
        found = {_process(name) for name in self._names()}
        return sorted((process for process in found if process.alive), key=lambda process: process.pid)

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
            lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._absorb(self._names_of_ended())
            finally:
                os.close(lock)

    def _absorb(self, names: list[str]) -> None:
        merged, held, generation = self._ended()
        for name in names:
            if name not in held:
                self._add(merged, name)
        temporary = f"{_ENDED}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=self._folder)
        file = CellsFile(os.open(temporary, _NEW, 0o600, dir_fd=self._folder))
        try:
            for begin in range(0, len(names), _NAMES_A_RECORD):
                key = _HOLDS + " ".join(names[begin : begin + _NAMES_A_RECORD]).encode()
                _write(file, key, (generation + 1,))
            for key, numbers in limited(merged).items():
                _write(file, key, numbers)
        finally:
            file.close()
        os.rename(temporary, _ENDED, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        for name in names:
            os.unlink(name, dir_fd=self._folder)

    def _ended(self) -> tuple[Merged, set[str], float]:
        """Return the numbers of those that ended, whose they are, and how often this was written."""
        merged: Merged = {}
        self._add(merged, _ENDED)
        held: set[str] = set()
        generation = 0.0
        for key in [key for key in merged if key.startswith(_HOLDS)]:
            (generation,) = merged.pop(key)
            held.update(key.removeprefix(_HOLDS).decode().split())
        return merged, held, generation

    def _add(self, merged: Merged, name: str) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        except FileNotFoundError:
            return
        try:
            add_to(merged, read_cells(fd))
        finally:
            os.close(fd)

    def _names(self) -> list[str]:
        return [name for name in names_in(self._folder) if name[0].isdigit()]

    def _names_of_ended(self) -> list[str]:
        return [name for name in self._names() if name != self._name and not _process(name).alive]


def _own_file(folder: int, me: Process) -> tuple[str, int]:
    """Make this process's file; one that it made before, and left, is another's now."""
    for number in range(1000):
        name = f"{_name(me)}-{number}"
        try:
            return name, os.open(name, _NEW, 0o600, dir_fd=folder)
        except FileExistsError:
            continue
    raise FileExistsError(f"Too many files of process {me.pid}")


def _write(file: CellsFile, key: bytes, numbers: Iterable[float]) -> None:
    values = tuple(numbers)
    cells = file.place(key, len(values))
    if cells is None:
        raise OSError("no room for the numbers of processes that ended")
    for index, value in enumerate(values):
        cells[index] = value


def _name(process: Process) -> str:
    return f"{process.pid}-{process.started}"


def _process(name: str) -> Process:
    pid, started = name.split("-")[:2]
    return Process(int(pid), int(started))


def _remove_ended_groups(above: int, own: str) -> None:
    """Remove the folders of services that ended; one that can't be read is left alone."""
    for name in names_in(above):
        with contextlib.suppress(OSError, ValueError):
            container, root = name.split("-", 1)
            if name == own or container != own.split("-", 1)[0] or _process(root).alive:
                continue
            folder = open_folder(name, above)
            try:
                files = names_in(folder)
            finally:
                os.close(folder)
            if not any(_process(file).alive for file in files if file[0].isdigit()):
                shutil.rmtree(name, dir_fd=above)
