"""The service with gevent's workers: the tests of requests, broadcasts, health, logs and metrics, and its signals."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from acceptance_tests import demo as start
from acceptance_tests.client import Client, wait_for
from acceptance_tests.demo import Demo
from acceptance_tests.tests import test_features, test_processes, test_service
from c2c_testing.servers import PostgresPair, Redis, free_port


@pytest.fixture(scope="module")
def _shared(_servers: tuple[PostgresPair, Redis]) -> Iterator[Demo]:
    # The demo of the other modules may still run, on the same Redis: it is another service.
    environ = {"C2C_BROADCAST_PREFIX": "gevent_"}
    arguments = ["-k", "gevent", *start.PATIENT]
    with start.service(*_servers, port=free_port(), workers=2, arguments=arguments, environ=environ) as demo:
        yield demo


test_ping = test_service.test_ping
test_reads_and_writes = test_service.test_reads_go_to_the_replica_writes_to_the_primary
test_bad_input = test_service.test_bad_input_is_a_json_400
test_health_checks = test_service.test_health_checks_of_both_engines
test_metrics = test_service.test_metrics_know_the_requests
test_timers = test_service.test_timers_in_the_json_view
test_logs = test_service.test_logs_are_json_lines
test_outgoing = test_service.test_a_request_that_asks_the_service_itself
test_own_writes = test_features.test_a_client_reads_its_own_writes
test_log_levels = test_features.test_a_log_level_in_every_process
test_members = test_processes.test_all_workers_answer
test_a_stopped_worker = test_processes.test_a_stopped_worker_is_named
test_redis_killed_and_back = test_processes.test_redis_killed_and_back


def test_requests_at_once(client: Client, demo: Demo) -> None:
    """A hundred requests that wait are answered by two workers at once; probes meanwhile too."""
    with ThreadPoolExecutor(100) as pool:
        asleep = [pool.submit(Client(demo).get, "/sleep?seconds=3") for _ in range(100)]
        for path in ("/c2c/health/live", "/c2c/health/ready", "/c2c/health_check"):
            assert client.get(path)["failures"] == {}
        assert all(one.result(60) == {"slept": 3.0} for one in asleep)


def test_a_reload_and_an_end(client: Client, demo: Demo) -> None:
    """SIGHUP replaces the workers, which take part; SIGTERM ends all of them in peace."""
    before, logged = demo.service.workers(), len(demo.service.log_text())
    demo.service.signal(signal.SIGHUP)
    wait_for(lambda: not set(before) & set(demo.service.workers()) and len(demo.service.workers()) == 2)
    wait_for(lambda: client.pids() == demo.service.workers())
    assert client.get("/hello")["value"]
    demo.service.stop()
    assert "Traceback" not in demo.service.log_text()[logged:]
