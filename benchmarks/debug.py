"""What the diagnosis costs those who are diagnosed. Run: ``python -m benchmarks debug``.

Contenders alternate within one run; the best round counts for single costs, the median for the slow-down.
"""

import json
import logging
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from benchmarks._case import Case, alternate, timed
from c2c_debug.running import begin
from c2c_debug.running.table import SQL, TABLE
from c2c_debug.sampling import sample
from c2c_debug.sql.profiler import SqlProfiler
from c2c_debug.stacks import names, rendered, stacks

_THREADS = 20
_DEPTH = 25


def main() -> None:
    """Print each cost and its bar."""
    _stacks()
    _sampling()
    _statements()
    _rows()


def cases() -> Iterator[Case]:
    """Take the stacks of twenty threads, beside the standard library's way."""

    def by_the_library() -> object:
        return [traceback.format_stack(frame) for frame in sys._current_frames().values()]  # noqa: SLF001 # the way

    with _waiting_threads():
        found = alternate(
            {
                "c2c-debug": timed(lambda: (stacks(), names()), 10, scale=1e3),
                "traceback.format_stack": timed(by_the_library, 5, scale=1e3),
            },
            30,
        )
    peer = found["traceback.format_stack"]
    yield Case(f"stacks of {_THREADS} threads of {_DEPTH + 5} frames", "ms", found["c2c-debug"], (peer,))


@contextmanager
def _waiting_threads() -> Iterator[None]:
    end = threading.Event()

    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        else:
            end.wait()

    threads = [threading.Thread(target=deep, args=(_DEPTH,), daemon=True) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    yield
    end.set()
    for thread in threads:
        thread.join()


def _stacks() -> None:
    """Take the stacks of twenty threads."""
    with _waiting_threads():
        take = _best(lambda: (stacks(), names()), 200, 20)
        found, named = stacks(), names()
        render = _best(lambda: rendered(found, named, "host/1"), 50, 5)
    print(f"stacks of {_THREADS} threads of {_DEPTH + 5} frames: taken in {take * 1e3:.3f} ms (bar 0.5), ", end="")
    print(f"made JSON of in {render * 1e3:.3f} ms more, during which other threads have their turns")


def _sampling() -> None:
    """Sample a busy application with twenty threads at 100 Hz."""
    end = threading.Event()

    def waits(left: int = _DEPTH) -> None:
        if left:
            waits(left - 1)
        else:
            end.wait()

    done = [0]
    document = json.dumps({"items": [{"id": number, "name": f"name {number}"} for number in range(100)]})

    def works(left: int = _DEPTH) -> None:
        if left:
            works(left - 1)
            return
        while not end.is_set():
            json.loads(document)
            done[0] += 1

    threads = [threading.Thread(target=waits, daemon=True) for _ in range(_THREADS - 1)]
    threads.append(threading.Thread(target=works, daemon=True))
    for thread in threads:
        thread.start()

    def rate(watch: Callable[[], Any]) -> float:
        before, start = done[0], time.perf_counter()
        watch()
        return (done[0] - before) / (time.perf_counter() - start)

    ratios = []
    for _ in range(60):
        alone = rate(lambda: time.sleep(0.5))
        sampled = rate(lambda: sample(0.5, 100))
        after = rate(lambda: time.sleep(0.5))
        ratios.append(sampled / ((alone + after) / 2))
    end.set()
    for thread in threads:
        thread.join()
    slower = (1 - statistics.median(ratios)) * 100
    print(f"sampling at 100 Hz with {_THREADS} threads: a busy one is {slower:.1f} % slower (bar 3)")


def _statements() -> None:
    """Run statements on SQLite: what is on top of them."""
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    statement = sa.text("SELECT 1")
    before = DefaultDialect.do_execute
    profiler = SqlProfiler()
    logging.getLogger("c2c_debug.sql_profiler").setLevel(logging.ERROR)  # of SQLite it has nothing to say

    with engine.connect() as connection:

        def run() -> None:
            connection.execute(statement)

        costs = []
        for _ in range(30):
            off = _best(run, 10, 100)
            profiler.switch("analyze")
            on = _best(run, 10, 100)
            profiler.switch(None)
            costs.append(on - off)
    engine.dispose()
    untouched = DefaultDialect.do_execute is before
    print(
        f"SQL profiler off: the database is called by {'SQLAlchemy itself' if untouched else 'OURS'} (bar: 0 us); ",
        end="",
    )
    print(f"with the report on {statistics.median(costs) * 1e6:+.2f} us on a statement of {off * 1e6:.0f} us (bar 5)")


def _rows() -> None:
    """Show a request, and a phase of it, beside a call of the log that says nothing."""
    log = logging.getLogger("benchmarks.nothing")
    log.setLevel(logging.WARNING)
    begin()
    row = TABLE.row()
    assert row is not None

    def request() -> None:
        begun = row.begin("GET\x0010.0.0.1\x003f0f2a3e-1111-2222-3333-444455556666\x00/api/things/123", {})
        row.route(b"things\x003f0f2a3e-1111-2222-3333-444455556666")
        row.end(begun)

    def phase() -> None:
        row.enter(SQL, b"SELECT things.id, things.name FROM things WHERE things.id = %(id)s", 1234)
        row.leave()

    found = alternate(
        {
            "request": timed(request, 1000, scale=1e6),
            "phase": timed(phase, 1000, scale=1e6),
            "log.debug": timed(lambda: log.debug("nothing"), 1000, scale=1e6),
        },
        30,
    )
    print(
        "requests in flight: "
        + ", ".join(f"{name} {min(one.samples):.2f}" for name, one in found.items())
        + " us (bars 2, 1)"
    )


def _best(what: Callable[[], Any], rounds: int, times: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            what()
        best = min(best, (time.perf_counter() - start) / times)
    return best


if __name__ == "__main__":
    main()
