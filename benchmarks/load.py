"""Requests a second of two workers. Run: ``python -m benchmarks load``.

The contenders are those of ``benchmarks.service``. The load comes from wrk; servers take turns, the idle ones wait. A
connection stays with the worker that accepted it: there are so many of them that neither worker is ever idle, however
unevenly they fell (with eight, one worker sometimes had them all). What the workers spend (user and system) is counted
beside, as a busy machine changes it less. Bar (issue 12): requests a second >= 0.97 of the base's.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import request
from benchmarks._case import Case, Measured, Missing, alternate
from benchmarks._servers import children, place, server
from benchmarks._table import show

_CONNECTIONS = 64
_SECONDS = 1
_ROUNDS = 12


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case | Missing]:
    """Put load on two workers of each contender, in turn."""
    wrk = shutil.which("wrk")
    if wrk is None:
        yield Missing("requests a second under gunicorn with two workers", "wrk is not installed: apt install wrk")
        return
    names = (request.WHOLE, request.BASE, request.OPEN_TELEMETRY)
    loads: dict[str, list[_Load]] = {name: [] for name in names}
    with place() as shared, contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(server(shared, name, 2)) for name in names}
        for port, _ in servers.values():
            _wrk(wrk, port)  # both workers are up, and warm

        def turn(name: str) -> float:
            loads[name].append(_load_of(wrk, *servers[name]))
            return 0.0

        alternate({name: lambda name=name: turn(name) for name in names}, _ROUNDS)  # type: ignore[misc] # of a loop
    title = "requests a second, two workers under gunicorn"
    rate, spent, p99 = (
        {name: Measured(name, tuple(getattr(one, field) for one in loads[name])) for name in names}
        for field in ("rate", "spent", "p99")
    )
    others = (request.BASE, request.OPEN_TELEMETRY)
    rate[request.BASE] = rate[request.BASE].bar(least=0.97)
    note = "of a higher rate more is better"
    yield Case(title, "1/s", rate[request.WHOLE], tuple(rate[name] for name in others), note)
    for found, unit, what in ((spent, "us", "processor time of one"), (p99, "ms", "p99")):
        yield Case(f"{title}: {what}", unit, found[request.WHOLE], tuple(found[name] for name in others))


@dataclass(frozen=True, slots=True)
class _Load:
    """What a second of load gave."""

    rate: float  # requests a second
    spent: float  # us of the workers' processor time, a request
    p99: float  # ms


def _load_of(wrk: str, port: int, master: int) -> _Load:
    before = _processor_time(master)
    rate, p99 = _wrk(wrk, port)
    return _Load(rate, (_processor_time(master) - before) / rate / _SECONDS * 1e6, p99)


def _processor_time(master: int) -> float:
    """Return the seconds that the workers have spent, in user and in system mode."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in children(master))
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)


def _wrk(wrk: str, port: int) -> tuple[float, float]:
    """Return requests a second, and the milliseconds in which 99 of 100 are answered."""
    command = [wrk, "-t1", f"-c{_CONNECTIONS}", f"-d{_SECONDS}s", "--latency", f"http://127.0.0.1:{port}/ping"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec: +([\d.]+)", said)
    p99 = re.search(r"^ +99% +([\d.]+)(us|ms|s)", said, re.MULTILINE)
    assert rate
    assert p99
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


if __name__ == "__main__":
    main()
