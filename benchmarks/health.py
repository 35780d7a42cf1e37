"""How fast a report of slow and of many checks is, and a probe of a full service: ``python -m benchmarks health``.

Bars (issue 26): ten checks of 100 ms in 110 ms; the probe address in 50 ms (p99) while no request thread is free.
"""

import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from benchmarks import request
from benchmarks._case import Case, Growth, Measured, alternate
from benchmarks._servers import place, server
from benchmarks._table import Found, show
from c2c_health import HealthCheck
from c2c_testing.servers import free_port

_CHECKS = (1, 10, 100, 500)
_PROBES = 1_000
_SLEEPERS = 24  # more than the threads of two workers


def main() -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    show(cases())


def cases() -> Iterator[Found]:
    """Ask for reports, beside the same checks one after the other, as everybody else does; then probe."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield _slow()
        yield _many()
    finally:
        logging.disable(disabled)
    yield _probes()


def _service(add: Callable[[HealthCheck], None]) -> tuple[Callable[[], float], Any]:
    config = Configurator()
    add(HealthCheck(config))
    application = config.make_wsgi_app()

    def ask() -> float:
        begun = time.perf_counter()
        Request.blank("/c2c/health_check").get_response(application)
        return (time.perf_counter() - begun) * 1000

    ask()
    return ask, config.registry["health_check"]


def _checks(count: int, check: Callable[[Any], None]) -> Callable[[HealthCheck], None]:
    def add(health: HealthCheck) -> None:
        for number in range(count):
            health.add_custom_check(f"c{number}", check)

    return add


def _slow() -> Case:
    ask, checks = _service(_checks(10, lambda _: time.sleep(0.1)))

    def one_by_one() -> float:
        begun = time.perf_counter()
        for _ in range(10):
            time.sleep(0.1)
        return (time.perf_counter() - begun) * 1000

    found = alternate({"c2c-health": ask, "one after the other": one_by_one}, 8)
    checks.runner.close()
    bar = found["one after the other"].bar(most=0.11)
    return Case("a report of ten checks that take 100 ms", "ms", found["c2c-health"], (bar,))


def _many() -> Growth:
    points = []
    for count in _CHECKS:
        ask, checks = _service(_checks(count, lambda _: None))
        points.append((count, min(ask() for _ in range(20))))
        checks.runner.close()
    return Growth("a report of so many checks that do nothing", "checks", "ms", tuple(points))


def _probes() -> Case:
    """Probe a service whose threads all sleep, beside the probes of the same service when it has nothing to do."""
    address = f"127.0.0.1:{free_port()}"
    os.environ["C2C_PROBE_ADDRESS"] = address
    try:
        with place() as shared, server(shared, request.WHOLE, 2) as (port, _):

            def p99() -> float:
                taken = []
                for _ in range(_PROBES):
                    begun = time.perf_counter()
                    with urllib.request.urlopen(f"http://{address}/live", timeout=60) as answer:
                        answer.read()
                    taken.append((time.perf_counter() - begun) * 1000)
                return sorted(taken)[_PROBES * 99 // 100]

            idle = Measured("the same, idle", (p99(),))
            sleepers = [threading.Thread(target=_sleep, args=(port,), daemon=True) for _ in range(_SLEEPERS)]
            for one in sleepers:
                one.start()
            time.sleep(2)
            busy = Measured("c2c-health", (p99(),))
    finally:
        del os.environ["C2C_PROBE_ADDRESS"]
    return Case("probe address, all threads busy: p99", "ms", busy, (idle,), "bar: 50 ms")


def _sleep(port: int) -> None:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/sleep", timeout=120).read()
    except OSError:
        return  # the server ended first


if __name__ == "__main__":
    main()
