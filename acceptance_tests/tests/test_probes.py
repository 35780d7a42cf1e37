"""The probe address of the whole service: it answers while no request thread is free, with the metrics of all."""

import contextlib
import re
import threading
from collections.abc import Callable

import requests

from acceptance_tests.client import wait_for
from acceptance_tests.demo import Demo
from c2c_testing.servers import free_port, stopped


def test_probes_of_a_service_that_is_full(new_demo: Callable[..., Demo]) -> None:
    """Live, ready and health are 200 and the gauges say why nothing else answers; also with a worker stopped."""
    address = f"127.0.0.1:{free_port()}"
    arguments = ["--threads", "2", "--timeout", "300"]
    demo = new_demo(workers=2, arguments=arguments, environ={"C2C_PROBE_ADDRESS": address})

    def probe(path: str) -> requests.Response:
        return requests.get(f"http://{address}{path}", timeout=30)

    wait_for(lambda: probe("/ready").status_code == 200)

    def sleep() -> None:
        with contextlib.suppress(requests.RequestException):  # the service ends before it does
            requests.get(f"{demo.service.url}/api/sleep?seconds=15", timeout=300)

    asleep = [threading.Thread(target=sleep, daemon=True) for _ in range(12)]
    for thread in asleep:
        thread.start()
    # One worker may have taken them all.
    wait_for(lambda: re.search(r"^c2c_busy_threads [2-4]", probe("/metrics").text, re.MULTILINE) is not None)
    assert "c2c_threads 4" in probe("/metrics").text
    for number in range(100):
        assert probe(("/live", "/ready", "/health_check")[number % 3]).status_code == 200
    with stopped(demo.service.workers()[0]):
        for _ in range(20):
            assert probe("/ready").status_code == 200
    assert "db_engine_sqlalchemy" in probe("/health_check?max_level=2").json()["successes"]
