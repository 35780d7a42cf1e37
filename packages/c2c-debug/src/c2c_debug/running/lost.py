"""Requests that a process had in hand when it was ended by force: one line each, and a count, whoever notices.

gunicorn's master notices first, and knows the reason (c2c-meta calls ``Watch`` there). Where nobody watches, another
process of the service does, or the next service of this user: each when it makes its own file. Who removes a file is
the one that says what was in it. What was said leaves an empty file whose name has reason and number, which the next
process that counts takes away.
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
from typing import Any

from c2c_broadcast import mask
from c2c_broadcast.process import Process, family
from c2c_debug.running.table import TABLE, read, running_folder

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


def what(one: dict[str, Any], *names: str) -> str:
    """Return what a thread does, with what there is of these names: ``GET /x, route y, id z``."""
    said = f"{one['method']} {one['path']}".strip()
    return ", ".join([said, *(f"{name} {one[name]}" for name in names if one[name])])


class Watch:
    """A master's watch over the processes that it forks, which leave it to it. Make it before the first of them."""

    there = False

    def __init__(self) -> None:
        self._deaths = _killed_by_kernel()
        Watch.there = True

    def ended(self, pid: int, *, status: int | None = None, reason: str | None = None) -> int:
        """Say what a process had in hand that this one forked, and that is no more; return how many.

        ``status`` is as of ``os.waitpid``, where it is known; ``reason`` of ``REASONS``, where the master ended it.
        """
        detail = ""
        if reason is None:
            reason, detail = self._reason(status)
        with suppress(OSError):
            found = [path for _, process, path in files() if process.pid == pid]
            return sum(_say(path, pid, reason, detail, time.monotonic()) for path in found)
        return 0

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


def _killed_by_kernel() -> int:
    for file in _OOM_FILES:
        with suppress(OSError, ValueError, StopIteration):
            words = (one.split() for one in Path(file).read_text().splitlines())
            return next(int(word[1]) for word in words if word[0] == "oom_kill")
    return 0


def begin() -> None:
    """Make this process's file, where there is none, and say and count what others lost."""
    if TABLE.open():
        with suppress(OSError):  # that there is no folder is said already
            sweep()


def sweep() -> None:
    """Say what those left that ended, and that nobody watches; count what was said.

    Raises:
        OSError: There is no folder.
    """
    own = family()
    for root, process, path in files(everybody=True):
        # Another service's lost ones are that one's to tell, while it lives.
        others = root.alive and (root != own.root or Watch.there)
        if not others and not process.alive:
            _say(path, process.pid, "unknown", "", None)
    numbers: Counter[str] = Counter()
    for path in running_folder().glob(f"{own.namespace}-*-{_COUNTED}-*"):
        root = Process.parse(path.name.partition("-")[2])
        with suppress(OSError):  # another process was faster
            if not root.alive or (root == own.root and _COUNTERS):
                path.unlink()
                reason, number = path.name.split("-")[4:6]
                numbers[reason] += int(number)
    for reason in REASONS:  # 0 too: Prometheus sees no increase in a series that begins with its first loss
        for counter in _COUNTERS:
            counter(reason, numbers[reason])


def _say(path: Path, pid: int, reason: str, detail: str, until: float | None) -> int:
    """Say what the file of a process has, if nobody else did; return how many."""
    try:
        found = read(path, until)
        path.unlink()  # what only one of those that read it can do
    except OSError:
        return 0
    end = REASONS[reason] + (f" ({detail})" if detail else "")
    for one in found:
        text = f" ({one['text'][:_LONGEST_TEXT]})" if one["text"] else ""
        where = f" in {one['phase']}{text}" if one["method"] else text
        said = f"{what(one, 'route', 'id')} was lost after {one['seconds']:.1f} s{where}: worker {pid} {end}"
        _LOG.error("%s", mask(said.replace("\n", " ").replace("\r", " ")))
    if found:
        prefix = "-".join(path.name.split("-")[:3])
        path.with_name(f"{prefix}-{_COUNTED}-{reason}-{len(found)}-{uuid.uuid4().hex}").touch(0o600)
    return len(found)


def files(*, everybody: bool = False) -> Iterator[tuple[Process, Process, Path]]:
    """Yield each process of this family, or of this user and container, that has a file: its root, itself, the file.

    Raises:
        OSError: There is no folder.
    """
    own = family()
    # <namespace>-<pid and ticks of the family's root>-<pid and ticks>
    prefix = f"{own.namespace if everybody else own.name}-"
    for path in sorted(running_folder().iterdir()):
        with suppress(ValueError):
            if not path.name.startswith(prefix):
                continue
            _, root, ticks, process = path.name.split("-", 3)
            yield Process(int(root), int(ticks)), Process.parse(process), path
