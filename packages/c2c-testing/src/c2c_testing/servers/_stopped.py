"""A process that is stopped for a while, as under a debugger."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from c2c_testing.servers._errors import ServerError

_POLL = 0.02


@contextlib.contextmanager
def stopped(pid: int, limit: float = 30.0) -> Iterator[None]:
    """Stop a process (SIGSTOP) within the block, and let it go on (SIGCONT) after it, whatever happens.

    The block begins once all threads are stopped: on a busy machine some of them go on for a while after the signal.

    Raises:
        ServerError: a thread still runs after ``limit`` seconds
        ProcessLookupError: there is no such process
    """
    deadline = time.monotonic() + limit
    os.kill(pid, signal.SIGSTOP)
    try:
        while _states(pid) != {"T"}:
            if time.monotonic() > deadline:
                raise ServerError(f"process {pid} is not stopped after {limit:g} s")
            time.sleep(_POLL)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> set[str]:
    """Return the states of all threads: proc(5), the field after the name, which may hold anything."""
    found = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.add(stat.read_text(errors="replace").rpartition(")")[2].split()[0])
    return found
