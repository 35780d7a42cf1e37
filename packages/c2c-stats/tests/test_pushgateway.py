"""The Pushgateway publisher."""

import socket
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from c2c_stats.prometheus import PushgatewayGroupPublisher


def test_push(http_sink):
    """One request with the group in its path, and all metrics as text; nothing is pushed twice."""
    publisher = PushgatewayGroupPublisher(http_sink.url, "my_job", instance="i/1", labels={"env": "test"})
    publisher.add("my_gauge", 1.5)
    publisher.add("my_gauge", 2, metric_labels={"a": "b\n"})
    publisher.add("my_things_total", 3, metric_type="counter")
    publisher.commit()
    (request,) = http_sink.wait()
    assert request.method == "PUT"
    assert request.path.startswith("/metrics/job/my_job/instance")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(request.body.decode())
        for sample in family.samples
    }
    assert samples == {
        ("my_gauge", ("env", "test")): 1.5,
        ("my_gauge", ("a", "b\n"), ("env", "test")): 2,
        ("my_things_total", ("env", "test")): 3,
    }
    assert list(publisher.collect()) == []


def test_bad_metrics():
    """A name has one type."""
    publisher = PushgatewayGroupPublisher("http://127.0.0.1:1", "job")
    publisher.add("a", 1)
    publisher.add("either", 1, metric_type="untyped")
    publisher.add("either", 2, metric_type="untyped", metric_labels={"a": "b"})
    with pytest.raises(ValueError, match="unknown already"):
        publisher.add("either", 1)
    with pytest.raises(ValueError, match="gauge already"):
        publisher.add("a", 1, metric_type="counter")
    with pytest.raises(ValueError, match="Invalid metric type"):
        publisher.add("b", 1, metric_type="speed")


def test_gateway_that_is_absent_or_hangs():
    """It is an error, in time, and what was added is kept."""
    with pytest.raises(OSError, match="refused"):
        PushgatewayGroupPublisher("http://127.0.0.1:1", "job").commit()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        publisher = PushgatewayGroupPublisher(f"http://127.0.0.1:{silent.getsockname()[1]}", "job", timeout=0.2)
        publisher.add("a", 1)
        start = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            publisher.commit()
        assert time.monotonic() - start < 20
        assert [metric.name for metric in publisher.collect()] == ["a"]
