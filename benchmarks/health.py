"""How fast a report of slow and of many checks is, and a probe of a full service: ``python -m benchmarks health``.

Bars (issue 26): ten checks of 100 ms in 110 ms; the probe address in 50 ms (p99) while no request thread is free.
"""

import logging
import os
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from benchmarks._case import Case, Found, Growth, measured, timed
from benchmarks._servers import answers, server
from benchmarks.request import WHOLE
from c2c_health import HealthCheck
from c2c_testing.servers import free_port

_CHECKS = (1, 10, 100, 500)
_PROBES = 1_000
_SLEEPERS = 24  # more than the threads of two workers
_ONE_BY_ONE = "one after the other, as everybody else does"


def cases() -> Iterator[Found]:
    """Ask for reports, beside the same checks one after the other; then probe."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    ask, runner = _service(10, lambda _: time.sleep(0.1))
    takes = {"c2c-health": timed(ask, 1, 1e3), _ONE_BY_ONE: timed(lambda: time.sleep(0.1), 1, 1e4)}
    yield measured("a report of ten checks that take 100 ms", "ms", takes, 8, most={_ONE_BY_ONE: 0.11})
    runner.close()
    points = {}
    for count in _CHECKS:
        ask, runner = _service(count, lambda _: None)
        points[count] = min(timed(ask, 1, 1e3)() for _ in range(20))
        runner.close()
    yield Growth("a report of so many checks that do nothing", "ms", points)
    logging.disable(disabled)
    yield _probes()


def _service(count: int, check: Callable[[Any], None]) -> tuple[Callable[[], object], Any]:
    """Return what asks a service with so many checks for its report, and what runs them."""
    config = Configurator()
    health = HealthCheck(config)
    for number in range(count):
        health.add_custom_check(f"c{number}", check)
    application = config.make_wsgi_app()

    def ask() -> None:
        assert Request.blank("/c2c/health_check").get_response(application).status_int == 200  # noqa: PLR2004 # OK

    ask()
    return ask, config.registry["health_check"].runner


def _probes() -> Case:
    """Probe a service whose threads all sleep, beside the probes of the same service when it has nothing to do."""
    address = f"127.0.0.1:{free_port()}"
    os.environ["C2C_PROBE_ADDRESS"] = address
    try:
        with tempfile.TemporaryDirectory() as folder, server(Path(folder), WHOLE, 9, 2, whole=True) as (port, _):

            def p99() -> float:
                def probe() -> None:
                    with urllib.request.urlopen(f"http://{address}/live", timeout=60) as answer:
                        answer.read()

                probes = timed(probe, 1, 1e3)
                return statistics.quantiles((probes() for _ in range(_PROBES)), n=100)[98]

            idle = p99()
            for _ in range(_SLEEPERS):
                threading.Thread(target=answers, args=(port, "sleep"), daemon=True).start()
            time.sleep(2)
            samples = {"c2c-health": [p99()], "the same, idle": [idle], "the bar": [50.0]}
    finally:
        del os.environ["C2C_PROBE_ADDRESS"]
    return Case("probe address, all threads busy: p99", "ms", samples, {"the bar": 1.0})
