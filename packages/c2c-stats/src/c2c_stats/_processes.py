"""Which processes belong together: those that were forked, without a program started anew, from one.

That is what the workers of gunicorn, of uWSGI or of ``multiprocessing`` are. ``/proc`` tells (proc(5)): a fork keeps
the addresses of code and stack, which the kernel chooses at random for each program that it starts.
"""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

# Fields of /proc/<pid>/stat, counted from the one after the name, "state".
_STATE, _PARENT, _STARTED = 0, 1, 19
_ADDRESSES = slice(23, 26)
_GUNICORN = "gunicorn.arbiter"
_DEAD = {b"Z", b"X", b"x"}


@dataclass(frozen=True, slots=True)
class Process:
    """A process, which its start (in ticks since the boot) tells from a later one of the same id."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that is stopped does, one that nobody waited for does not."""
        fields = _stat(PROC, self.pid)
        if fields is None:
            return not PROC.joinpath("self/stat").exists() and _signal_reaches(self.pid)
        return int(fields[_STARTED]) == self.started and fields[_STATE] not in _DEAD


def this_process(proc: Path = PROC) -> Process:
    """Return this process."""
    return Process(os.getpid(), _started(_stat(proc, os.getpid())))


def root_of_forks(proc: Path = PROC) -> Process:
    """Return the process that this one and its siblings were forked from: gunicorn's master; itself without one."""
    pid = os.getpid()
    fields = _stat(proc, pid)
    if fields is None:
        forked = _GUNICORN in sys.modules
        return Process(os.getppid() if forked else pid, 0)
    while True:
        parent = int(fields[_PARENT])
        above = _stat(proc, parent)
        if above is None or not _same_program(proc, pid, fields, parent, above):
            return Process(pid, _started(fields))
        pid, fields = parent, above


def namespace(proc: Path = PROC) -> str:
    """Return what tells this container's processes from another's: the number of its pid namespace."""
    try:
        return "".join(char for char in os.readlink(proc / "self" / "ns" / "pid") if char.isdigit())  # noqa: PTH115 # no path
    except OSError:
        return "0"


def _same_program(proc: Path, pid: int, fields: list[bytes], parent: int, above: list[bytes]) -> bool:
    if any(int(address) > 1 for address in above[_ADDRESSES]):
        return fields[_ADDRESSES] == above[_ADDRESSES]
    # The parent is of another user, from whom the kernel hides addresses: gunicorn's --user.
    if pid == os.getpid() and _GUNICORN in sys.modules:
        return True
    with contextlib.suppress(OSError):
        return (proc / str(pid) / "cmdline").read_bytes() == (proc / str(parent) / "cmdline").read_bytes()
    return False


def _stat(proc: Path, pid: int) -> list[bytes] | None:
    try:
        text = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name is in parentheses, and may itself hold parentheses and spaces.
    return text[text.rindex(b")") + 2 :].split()


def _started(fields: list[bytes] | None) -> int:
    return int(fields[_STARTED]) if fields else 0


def _signal_reaches(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
