"""What the toolkit costs a service that runs: its start and its memory. Run: ``python -m benchmarks service``.

The base (Pyramid, pyramid_tm, cornice, SQLAlchemy) under gunicorn, the same with c2c-meta whole under c2c-run, the same
with OpenTelemetry's instrumentation: all with the same arguments (threads, no access log). Bars: issue 26.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import request
from benchmarks._case import Case, Measured, alternate
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
        yield _without_database(shared)
    yield _growth()


def _start(shared: Place) -> Case:
    def seconds(name: str) -> float:
        start = time.perf_counter()
        with server(shared, name, workers=5):
            return time.perf_counter() - start

    names = (request.WHOLE, request.BASE)
    found = alternate({name: lambda name=name: seconds(name) for name in names}, 2)  # type: ignore[misc] # of a loop
    bar = found[request.BASE].bar(most=1.2)
    return Case("start of five workers, to the first answer", "s", found[request.WHOLE], (bar,))


def _memory(shared: Place, title: str, arguments: tuple[str, ...]) -> Case:
    def megabytes(name: str) -> float:
        return _megabytes(shared, name, arguments)

    names = (request.WHOLE, WITH_REDIS, request.BASE, request.OPEN_TELEMETRY)
    found = alternate({name: lambda name=name: megabytes(name) for name in names}, 1)  # type: ignore[misc] # of a loop
    ours = found.pop(request.WHOLE)
    found[request.BASE] = found[request.BASE].bar(most=1.15)
    return Case(title, "MB", ours, tuple(found.values()))


def _without_database(shared: Place) -> Case:
    found = {name: _megabytes(shared, name, ()) for name in (request.WHOLE_NO_DATABASE, request.BASE_NO_DATABASE)}
    ours, base = (Measured(name, (taken,)) for name, taken in found.items())
    return Case("two workers' memory, no database", "MB", ours, (base.bar(most=1.15),))


def _megabytes(shared: Place, name: str, arguments: tuple[str, ...]) -> float:
    with server(shared, name, 2, arguments) as (port, master):
        _wait_for_workers(master, 2)
        for _ in range(_WARM_UP):
            answers(port)
        return sum(_pss(pid) for pid in children(master))


def _growth() -> Case:
    """Make a million requests in one process."""
    with request.served(request.WHOLE) as (one,):
        one.ask("ping", 100_000)
        before = Measured("after 100,000", (_pss(one.pid),))
        one.ask("ping", 900_000)
        after = Measured(request.WHOLE, (_pss(one.pid),))
    return Case("memory after 1,000,000 requests", "MB", after, (before.bar(most=1.02),))


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
