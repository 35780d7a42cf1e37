"""Requests that a process had in hand when it was ended by force: one line each, and a count, whoever notices.

gunicorn's master notices first, and knows the reason (c2c-meta calls ``watch`` and ``ended`` there). Where nobody
watches, another process of the service does, or the next service of this user: each when it makes its own file. Who
renames a file is the one that says what is in it. What was said leaves a file whose name has reason and number, which
the next process that counts takes away.
"""

import logging
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from c2c_broadcast import mask
from c2c_broadcast.process import Process, family
from c2c_debug.running.table import TABLE, Running, read, running_folder

_LOG = logging.getLogger("c2c_debug.running")

REASONS = {
    "sigkill": "was killed by SIGKILL",
    "out_of_memory": "was killed: out of memory",
    "timeout": "was ended at gunicorn's time-out",
    "graceful_timeout": "was killed at the graceful time-out",
    "crash": "crashed",
    "ended": "ended",
    "unknown": "is gone, nobody knows by what",
}
"""What ended a process: the counter's label, and what the line says."""

_WATCHED = "watched"
_COUNTED = "counted"
_LONGEST_TEXT = 200
# proc_pid_stat(5) and cgroups(7): how many processes the kernel has killed because there was no memory.
_OOM_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control", "/proc/vmstat")
_COUNTERS: list[Callable[[str, int], None]] = []


def count_with(counter: Callable[[str, int], None]) -> None:
    """Have lost requests counted: ``counter(reason, number)`` is called in one process of the service for each loss.

    It is called with 0 of each reason, too, so that a metric is there before the first loss.
    """
    if counter not in _COUNTERS:
        _COUNTERS.append(counter)


def line(one: Running, process: int, until: float, reason: str, detail: str = "") -> str:
    """Return the line of a lost request."""
    what = f"{one.method} {one.path}" if one.method else one.path
    names = [f"route {one.route}"] * bool(one.route) + [f"id {one.id}"] * bool(one.id)
    text = f" ({one.text[:_LONGEST_TEXT]})" if one.text else ""
    where = f" in {one.phase}{text}" if one.phase and one.method else text
    end = REASONS[reason] + (f" ({detail})" if detail else "")
    said = (
        f"{', '.join([what, *names])} was lost after {max(until - one.begun, 0):.1f} s{where}: worker {process} {end}"
    )
    return mask(said.replace("\n", " ").replace("\r", " "))


# -- the master -------------------------------------------------------------------------------------------------------


class Watch:
    """A master's watch over the processes that it forks. Make it before the first of them."""

    def __init__(self) -> None:
        self._deaths = _killed_by_kernel()
        self._path: Path | None = None
        with suppress(OSError):
            self._path = running_folder() / f"{family().name}-{_WATCHED}"
            self._path.touch(0o600)

    def ended(self, pid: int, *, status: int | None = None, reason: str | None = None) -> int:
        """Say what a process had in hand that is no more; return how many.

        Args:
            pid: of the process, which this one forked
            status: as of ``os.waitpid``, where it is known
            reason: of ``REASONS``, where the master ended it itself
        """
        try:
            found = [
                path for path in running_folder().glob(f"{family().name}-{pid}-*") if path.name.count("-") == _DASHES
            ]
        except OSError:
            return 0
        detail = ""
        if reason is None:
            reason, detail = self._reason(status)
        return sum(_claim(path, pid, reason, detail, time.monotonic()) for path in found)

    def _reason(self, status: int | None) -> tuple[str, str]:
        if status is None:
            return "unknown", ""
        if not os.WIFSIGNALED(status):
            code = os.waitstatus_to_exitcode(status)
            return ("crash", f"exit status {code}") if code else ("ended", "")
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            before, self._deaths = self._deaths, _killed_by_kernel()
            return ("out_of_memory" if self._deaths > before else "sigkill"), ""
        return "crash", signal.Signals(number).name

    def close(self) -> None:
        """Watch no more."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _killed_by_kernel() -> int:
    for file in _OOM_FILES:
        with suppress(OSError, ValueError, StopIteration):
            words = (one.split() for one in Path(file).read_text().splitlines())
            return next(int(word[1]) for word in words if word[0] == "oom_kill")
    return 0


# -- everybody --------------------------------------------------------------------------------------------------------

_DASHES = 4  # namespace, root's pid and ticks, pid and ticks


def begin() -> None:
    """Make this process's file, where there is none, and say what others lost."""
    if TABLE.open():
        with suppress(OSError):  # that there is no folder is said already
            sweep()


def take_over() -> None:
    """Count what others said, in a process that begins; nothing where it counts nothing."""
    if _COUNTERS:
        begin()


def sweep() -> int:
    """Say what those left that ended, and that nobody watches; count what was said. Return how many are new.

    Raises:
        OSError: There is no folder.
    """
    folder, own = running_folder(), family()
    found = 0
    names = _names(folder)
    for name in names:
        namespace, _, rest = name.partition("-")
        if namespace != own.namespace:
            continue  # of another container: its processes can't be looked at
        with suppress(ValueError):
            root = Process.parse(rest)
            process = Process.parse("-".join(name.split("-")[3:]))
            # Another service's lost ones are that one's to tell, while it lives.
            others = root.alive and (root != own.root or f"{own.name}-{_WATCHED}" in names)
            if name.count("-") == _DASHES and not others and not process.alive:
                found += _claim(folder / name, process.pid, "unknown", "", None)
    numbers = _uncounted(folder)
    for reason in REASONS:  # 0 too: Prometheus sees no increase in a series that begins with its first loss
        for counter in _COUNTERS:
            counter(reason, numbers[reason])
    return found


def _claim(path: Path, pid: int, reason: str, detail: str, until: float | None) -> int:
    """Say what the file of a process has, if nobody else did; return how many."""
    mine = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    try:
        path.rename(mine)
        found = read(mine)
        mine.unlink()
    except OSError:
        return 0
    if found:
        # When it ended is not known: at the latest that anybody wrote.
        last = until if until is not None else max(max(one.begun, one.since) for one in found)
        for one in found:
            _LOG.error("%s", line(one, pid, last, reason, detail))
        prefix = "-".join(path.name.split("-")[:3])
        path.with_name(f"{prefix}-{_COUNTED}-{reason}-{len(found)}-{uuid.uuid4().hex}").touch(0o600)
    return len(found)


def _uncounted(folder: Path) -> Counter[str]:
    """Take away what was said of this family, where this process counts, and of ended ones; return the numbers."""
    found: Counter[str] = Counter()
    own = family()
    for name in _names(folder):
        namespace, *words = name.split("-")
        with suppress(ValueError, IndexError, OSError):
            root, kind = Process.parse("-".join(words[:2])), words[2]
            ended = not root.alive
            if namespace != own.namespace or not (ended or (root == own.root and _COUNTERS)):
                continue
            if kind == _COUNTED:
                (folder / name).unlink()
                found[words[3]] += int(words[4])
            elif kind == _WATCHED and ended:
                (folder / name).unlink()
    return found


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def family_files() -> Iterator[tuple[Process, Path]]:
    """Yield the processes of this family that have a file, with it.

    Raises:
        OSError: There is no folder.
    """
    return _files(f"{family().name}-")


def all_files() -> Iterator[tuple[Process, Path]]:
    """Yield all processes of this user and container that have a file, with it.

    Raises:
        OSError: There is no folder.
    """
    return _files(f"{family().namespace}-")


def _files(prefix: str) -> Iterator[tuple[Process, Path]]:
    folder = running_folder()
    for name in sorted(_names(folder)):
        if name.startswith(prefix) and name.count("-") == _DASHES:
            with suppress(ValueError):
                yield Process.parse("-".join(name.split("-")[3:])), folder / name
