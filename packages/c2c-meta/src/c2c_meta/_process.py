"""What a process tells of itself: when it started, what it runs, what it uses."""

import hashlib
import os
import platform
import threading
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def facts() -> dict[str, Any]:
    """Return ``version`` (of c2c-meta), ``python``, ``started`` (seconds since the epoch), ``threads``, ``rss_kb``,
    ``cpu_seconds``; None for what this system does not tell.
    """  # noqa: D205 # one sentence
    return {
        "version": _version(),
        "python": platform.python_version(),
        "started": started(os.getpid()),
        "threads": threading.active_count(),
        "rss_kb": _resident_kb(),
        "cpu_seconds": round(time.process_time(), 2),
    }


@cache
def _version() -> str:
    return version("c2c-meta")


@cache
def started(pid: int, proc: Path = _PROC) -> float | None:
    """Return when a process was started, in seconds since the epoch (proc(5): field 22 of stat, btime)."""
    try:
        # The name of the program, in brackets, may hold anything.
        ticks = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
        return round(int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK"), 2)
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _resident_kb() -> int | None:
    try:
        pages = int((_PROC / "self" / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def digest(lines: list[str]) -> str:
    """Return a short text that two processes share where these lines are the same for them."""
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "replace")).hexdigest()[:8]
