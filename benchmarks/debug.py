"""What the diagnosis costs those who are diagnosed. Run: ``python -m benchmarks debug``."""

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks._case import Case, measured, timed
from c2c_debug.running import begin
from c2c_debug.running.table import TABLE
from c2c_debug.sampling import sample
from c2c_debug.stacks import Samples

_THREADS = 20
_DEPTH = 25


def cases() -> Iterator[Case]:
    """Show a request in flight, take stacks, sample a busy thread."""
    yield _row()

    def by_the_library() -> object:
        return [traceback.format_stack(frame) for frame in sys._current_frames().values()]  # noqa: SLF001 # the way

    with _waiting_threads(lambda: None):
        takes = {
            "c2c-debug": timed(lambda: Samples().take(), 10, scale=1e3),
            "traceback.format_stack": timed(by_the_library, 5, scale=1e3),
        }
        yield measured(f"stacks of {_THREADS} threads of {_DEPTH + 5} frames", "ms", takes, 30)
    document = json.dumps({"items": [{"id": number, "name": f"name {number}"} for number in range(100)]})
    done = [0]

    def work() -> None:
        json.loads(document)
        done[0] += 1

    def rate(watch: Callable[[], object]) -> Callable[[], float]:
        def sampled() -> float:
            before, start = done[0], time.perf_counter()
            watch()
            return (done[0] - before) / (time.perf_counter() - start)

        return sampled

    with _waiting_threads(work):
        rates = {"sampled": rate(lambda: sample(0.5, 100)), "not sampled": rate(lambda: time.sleep(0.5))}
        yield measured("a busy thread, sampled at 100 Hz with 19 others", "1/s", rates, 20, least={"not sampled": 0.97})


@contextmanager
def _waiting_threads(work: Callable[[], object]) -> Iterator[None]:
    """Let threads wait deep in calls, and one more do its work all the time."""
    end = threading.Event()

    def deep(left: int, last: Callable[[], object]) -> None:
        if left:
            deep(left - 1, last)
        else:
            last()

    def works() -> None:
        while not end.is_set():
            work()
            end.wait(0)

    lasts: list[Callable[[], object]] = [*[end.wait] * (_THREADS - 1), works]
    threads = [threading.Thread(target=deep, args=(_DEPTH, last), daemon=True) for last in lasts]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    yield
    end.set()
    for thread in threads:
        thread.join()


def _row() -> Case:
    """Show a request, beside a call of the log that says nothing."""
    log = logging.getLogger("benchmarks.nothing")
    log.setLevel(logging.WARNING)
    begin()
    row = TABLE.row()
    assert row is not None

    def request() -> None:
        begun = row.begin("GET\x0010.0.0.1\x003f0f2a3e-1111-2222-3333-444455556666\x00/api/things/123", {})
        row.route(b"things\x003f0f2a3e-1111-2222-3333-444455556666")
        row.end(begun)

    disabled = "a disabled log.debug"
    takes = {"c2c-debug": timed(request, 1000), disabled: timed(lambda: log.debug("nothing"), 1000)}
    return measured("row of a request in flight", "us", takes, 30, most={disabled: 2.0})
