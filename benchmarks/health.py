"""How fast a report of slow, hanging and many checks is: ``python -m benchmarks health`` for more than the table has.

The bars: 20 checks of 1 s in < 1.3 s; 3 that hang for ever under 1,000 requests, each answered within its deadline
+ 100 ms by a constant number of threads; p99 < 5 ms with 50 slow checks in the background; 10 checks of 100 ms in
about 100 ms. Absolute figures are of the machine; the floor is the sleep itself.
"""

import logging
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from benchmarks._case import Case, alternate
from c2c_health import HealthCheck

_REQUESTS = 1_000
_CALLERS = 4
_DEADLINE = 1.0


def _service(add: Callable[[HealthCheck], None]) -> tuple[Callable[[], float], Any]:
    config = Configurator()
    add(HealthCheck(config))
    application = config.make_wsgi_app()

    def ask() -> float:
        begun = time.perf_counter()
        Request.blank("/c2c/health_check").get_response(application)
        return (time.perf_counter() - begun) * 1000

    return ask, config.registry["c2c_health.checks"]


def _sleeping(count: int, seconds: float, **options: Any) -> Callable[[HealthCheck], None]:
    def add(health: HealthCheck) -> None:
        for number in range(count):
            health.add_custom_check(f"c{number}", lambda: time.sleep(seconds), **options)

    return add


def _row(what: str, taken: list[float], bar: str) -> str:
    taken = sorted(taken)
    p99 = taken[len(taken) * 99 // 100]
    return f"{what:52} {statistics.median(taken):9.2f} {p99:9.2f} {taken[-1]:9.2f} {bar:>12}"


def _hanging() -> str:
    end = threading.Event()

    def add(health: HealthCheck) -> None:
        for number in range(47):
            health.add_custom_check(f"c{number}", lambda: None)
        for number in range(3):
            health.add_custom_check(f"h{number}", lambda: end.wait(), timeout=_DEADLINE)  # noqa: PLW0108 # wait takes a time

    ask, checks = _service(add)
    taken: list[float] = []
    counts: set[int] = set()

    def caller() -> None:
        for _ in range(_REQUESTS // _CALLERS):
            taken.append(ask())
            counts.add(checks.runner.threads.count)

    callers = [threading.Thread(target=caller) for _ in range(_CALLERS)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    end.set()
    checks.runner.close()
    row = _row(f"50 checks, 3 hang for ever (deadline {_DEADLINE:g} s)", taken, "max < 1100")
    return f"{row}\n{'':4}threads for checks over {len(taken):,} requests: {min(counts)} to {max(counts)}"


def cases() -> Iterator[Case]:
    """Ask for a report of ten slow checks, beside the same checks one after the other, as everybody else does."""
    logging.disable(logging.WARNING)
    try:
        ask, checks = _service(_sleeping(10, 0.1))

        def one_by_one() -> float:
            begun = time.perf_counter()
            for _ in range(10):
                time.sleep(0.1)
            return (time.perf_counter() - begun) * 1000

        ask()
        found = alternate({"c2c-health": ask, "one after the other": one_by_one}, 8)
        checks.runner.close()
    finally:
        logging.disable(logging.NOTSET)
    bar = found["one after the other"].bar(most=110 / 1003)
    yield Case("a report of ten checks that take 100 ms", "ms", found["c2c-health"], (bar,))


def main() -> None:
    """Print the table."""
    print(f"{'milliseconds':52} {'p50':>9} {'p99':>9} {'max':>9} {'bar':>12}")
    for count, seconds, times, bar in ((10, 0.1, 20, "~ 100"), (20, 1.0, 3, "< 1300"), (1, 0.1, 20, "floor")):
        ask, checks = _service(_sleeping(count, seconds))
        print(_row(f"{count} checks of {seconds:g} s", [ask() for _ in range(times)], bar))
        checks.runner.close()
    ask, checks = _service(_sleeping(50, 2.0, interval=3.0))
    ask()
    print(_row("50 checks of 2 s, in the background", [ask() for _ in range(2 * _REQUESTS)], "p99 < 5"))
    checks.runner.close()
    ask, checks = _service(lambda health: health.add_custom_check("fast", lambda: None))
    one = [ask() for _ in range(_REQUESTS)]
    checks.runner.close()
    ask, checks = _service(lambda _: None)
    none = [ask() for _ in range(_REQUESTS)]
    print(_row("one check that does nothing", one, ""))
    print(_row("no check", none, "floor"))
    print(_hanging())
    print(f"load of this machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stdout)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
