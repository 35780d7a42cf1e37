"""The HTTP server that records."""

import math
import subprocess
import sys
import time

import pytest
import requests


def test_records_requests(http_sink):
    """Method, path, query, headers and body are as they were sent; the answer is 200."""
    response = requests.post(
        f"{http_sink.url}/a/b?x=1&x=2&y=", json={"k": [1]}, headers={"X-Some": "thing"}, timeout=30
    )
    assert (response.status_code, response.content) == (200, b"")
    (request,) = http_sink.requests
    assert (request.method, request.path, request.query) == ("POST", "/a/b", {"x": ["1", "2"], "y": [""]})
    assert request.headers["x-some"] == "thing"
    assert request.json() == {"k": [1]}


def test_any_method(http_sink):
    """All methods are taken, with chunked bodies too."""
    with requests.Session() as session:
        for method in ("GET", "HEAD", "OPTIONS", "PATCH", "DELETE", "PURGE"):
            assert session.request(method, http_sink.url, timeout=30).status_code == 200
        session.put(http_sink.url, data=iter([b"one", b"two"]), timeout=30)
    assert [request.method for request in http_sink.wait(count=7)][-2:] == ["PURGE", "PUT"]
    assert http_sink.requests[-1].body == b"onetwo"


def test_answers_as_told(http_sink):
    """By path and method; what is said last goes first, so many times."""
    http_sink.answer(status=404, body="nothing")
    http_sink.answer("/a", json={"k": 1}, headers={"X-Some": "thing"})
    http_sink.answer("/a", method="POST", status=503, times=2)
    get = requests.get(f"{http_sink.url}/a", timeout=30)
    assert (get.json(), get.headers["X-Some"], get.headers["Content-Type"]) == ({"k": 1}, "thing", "application/json")
    posts = [requests.post(f"{http_sink.url}/a", timeout=30).status_code for _ in range(3)]
    assert posts == [503, 503, 200]
    other = requests.get(f"{http_sink.url}/b", timeout=30)
    assert (other.status_code, other.text) == (404, "nothing")
    http_sink.clear()
    assert requests.get(f"{http_sink.url}/b", timeout=30).status_code == 200
    assert len(http_sink.requests) == 1


def test_is_slow_and_silent(http_sink):
    """It answers late or never, and others meanwhile; closing does not wait for it."""
    http_sink.answer("/late", delay=0.3)
    http_sink.answer("/never", delay=math.inf)
    start = time.monotonic()
    assert requests.get(f"{http_sink.url}/late", timeout=30).ok
    assert time.monotonic() - start >= 0.3
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{http_sink.url}/never", timeout=0.3)
    assert requests.get(http_sink.url, timeout=30).ok


def test_is_down_and_back(http_sink):
    """Down, connections are refused; back, the port is the same."""
    with requests.Session() as session:
        assert session.get(http_sink.url, timeout=30).ok
        with http_sink.down(), pytest.raises(requests.ConnectionError):
            session.get(http_sink.url, timeout=30)
        assert session.get(http_sink.url, timeout=30).ok
    assert len(http_sink.wait("/", count=2)) == 2


def test_a_sink_that_nobody_stops():
    """It does not keep the process."""
    code = """
import requests
from c2c_testing.sinks import HttpSink
session = requests.Session()
print(session.get(HttpSink().url, timeout=30).status_code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("200\n", 0), done.stderr
