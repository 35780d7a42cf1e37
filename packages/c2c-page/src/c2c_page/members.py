"""The processes that serve this application, on all hosts: ``GET {base}/members``, and what each tells of itself."""

import contextlib
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from pyramid.config import Configurator

from c2c_broadcast import Link, Live, Section, broadcast

LAST = 10_000
"""Order of our actions: after those of others, so that an include that ends in a conflict has changed nothing."""

_TIMEOUT = 2.0
_PROC = Path("/proc")
_OURS = "c2c_"


def add(config: Configurator) -> None:
    """Add the view, and what each process answers to it."""
    registry = config.registry
    tell(config, "members", lambda: facts(registry))
    config.add_operator_view(
        lambda request: ask_all(request.registry, "members"), name="members", path="/members", level="read"
    )
    config.add_section(
        Section(
            name="members",
            title="Members",
            order=80,
            links=(Link(title="Processes", route="c2c_members", help="who serves, on which host, since when"),),
            live=(Live(title="Processes", kind="members", route="c2c_members", every=10.0),),
        )
    )


def tell(config: Configurator, part: str, function: Callable[..., Any]) -> None:
    """Have each process answer ``function()`` when all are asked for a part of the page."""
    channel = _channel(config.registry, part)
    config.action(("c2c_page", part), lambda: broadcast.subscribe(channel, function), order=LAST)


def ask_all(registry: Any, part: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return ``{"now", "members", "failed", "missing", "complete"}``: what all processes tell, and who did not.

    ``now`` is in seconds since the epoch; a member that said that it is still at work is among the missing.
    """
    answers = broadcast.ask(_channel(registry, part), params, timeout=_TIMEOUT)
    return {
        "now": time.time(),
        "members": sorted(answers.answers, key=lambda answer: (answer["hostname"], answer["pid"])),
        "failed": [asdict(failure) for failure in answers.failed],
        "missing": [asdict(missing) for missing in (*answers.missing, *answers.late)],
        "complete": answers.complete,
    }


def _channel(registry: Any, part: str) -> str:
    return f"c2c_page_{part} {registry.package_name}"


def facts(registry: Any) -> dict[str, Any]:
    """Return what this process is and uses; None for what this system does not tell.

    ``version`` is the service's own (of the distribution that has the application's package), ``packages`` are those of
    the toolkit with their versions, ``started`` is in seconds since the epoch.
    """
    return {
        "version": _own_version(registry.package_name),
        "packages": _packages(),
        "python": platform.python_version(),
        "started": started(os.getpid()),
        "threads": threading.active_count(),
        "rss_kb": resident_kb(),
        "cpu_seconds": round(time.process_time(), 2),
    }


@cache
def _own_version(package: str) -> str | None:
    # A distribution mostly has its package's name; to look into all of them takes a second or two.
    name = package.partition(".")[0]
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    names = packages_distributions().get(name, ())
    try:
        return version(names[0]) if names else None
    except PackageNotFoundError:  # a broken installation
        return None


@cache
def _packages() -> dict[str, str]:
    """Return the versions of the toolkit's packages, known by the names of their folders: no other is opened."""
    folders = (path for entry in sys.path for path in Path(entry or ".").glob(f"{_OURS}*.dist-info"))
    named = {folder.name.partition("-")[0].replace("_", "-") for folder in folders}
    return {name: version(name) for name in sorted(named)}


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


def resident_kb(proc: Path = _PROC) -> int | None:
    """Return the resident memory of this process in kB (proc(5): field 2 of statm)."""
    try:
        pages = int((proc / "self" / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
