"""What the toolkit costs a service that runs: its start and its memory. Run: ``python -m benchmarks service``.

The base (Pyramid, pyramid_tm, cornice, SQLAlchemy) under gunicorn, the same with c2c-meta whole under c2c-run, the same
with OpenTelemetry's instrumentation: all with the same arguments (threads, no access log). Bar (issue 12): two workers'
memory (PSS) 75 MB where the base's is 62.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import request
from benchmarks._case import Case, alternate
from benchmarks._servers import LIMIT, WITH_REDIS, Place, answers, children, place, server
from benchmarks._table import show

_PRELOAD = ("--preload",)
_WARM_UP = 300


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case]:
    """Start servers, and look at their memory."""
    with place() as shared:
        yield _start(shared)
        yield _memory(shared, "two workers' memory (PSS)", ())
        yield _memory(shared, "the same with --preload", _PRELOAD)


def _start(shared: Place) -> Case:
    def seconds(name: str) -> float:
        start = time.perf_counter()
        with server(shared, name, workers=5):
            return time.perf_counter() - start

    names = (request.WHOLE, request.BASE)
    found = alternate({name: lambda name=name: seconds(name) for name in names}, 2)  # type: ignore[misc] # of a loop
    return Case("start of five workers, to the first answer", "s", found[request.WHOLE], (found[request.BASE],))


def _memory(shared: Place, title: str, arguments: tuple[str, ...]) -> Case:
    def megabytes(name: str) -> float:
        with server(shared, name, 2, arguments) as (port, master):
            _wait_for_workers(master, 2)
            for _ in range(_WARM_UP):
                answers(port)
            return sum(_pss(pid) for pid in children(master))

    names = (request.WHOLE, WITH_REDIS, request.BASE, request.OPEN_TELEMETRY)
    found = alternate({name: lambda name=name: megabytes(name) for name in names}, 1)  # type: ignore[misc] # of a loop
    ours = found.pop(request.WHOLE)
    found[request.BASE] = found[request.BASE].bar(most=75 / 62)
    return Case(title, "MB", ours, tuple(found.values()))


def _wait_for_workers(master: int, count: int) -> None:
    """Wait until all workers have read their application: their memory no longer grows."""
    deadline, before = time.monotonic() + LIMIT, -1.0
    while time.monotonic() < deadline:
        pids = children(master)
        now = round(sum(_pss(pid) for pid in pids), 1)
        if len(pids) == count and now == before:
            return
        before = now
        time.sleep(1)


def _pss(pid: int) -> float:
    """Return a process's share of memory in MB: shared pages divided by those who share them."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
