"""Waiting, retrying, approximate comparison, containers."""

import math
import os
import subprocess
import sys
from typing import NamedTuple

import pytest
import requests

from c2c_testing import utils
from c2c_testing.utils import _gateway as gateway
from c2c_testing.utils import in_docker


def test_retry_timeout_returns_what_is_true():
    """It goes on while the function returns nothing or raises."""
    results = iter([None, ValueError("not yet"), 0, "here"])

    def what():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    assert utils.retry_timeout(what, interval=0) == "here"


def test_retry_timeout_tells_the_last_failure():
    """The error names the function and what it last did; an exception is the cause."""

    def fails():
        raise ValueError("broken")

    with pytest.raises(TimeoutError, match=r"fails still raised ValueError: broken after 0\.02 s") as raised:
        utils.retry_timeout(fails, timeout=0.02, interval=0.01)
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(TimeoutError, match="returned False"):
        utils.retry_timeout(lambda: False, timeout=0)


def test_wait_url_waits_for_a_good_status(http_sink):
    """A service that is starting answers 503 for a while."""
    http_sink.answer("/ready", status=503, times=2)
    utils.wait_url(f"{http_sink.url}/ready", timeout=60)
    assert len(http_sink.requests) == 3


def test_wait_url_tells_why_not(http_sink):
    """The error has the URL and the last failure: a status, a refusal, silence."""
    http_sink.answer("/broken", status=500)
    http_sink.answer("/silent", delay=math.inf)
    with pytest.raises(TimeoutError, match=r"GET \S+/broken still raised HTTPError: 500 .* after 0\.1 s"):
        utils.wait_url(f"{http_sink.url}/broken", timeout=0.1)
    with pytest.raises(TimeoutError, match="timed out"):
        utils.wait_url(f"{http_sink.url}/silent", timeout=0.2)
    with http_sink.down(), pytest.raises(TimeoutError) as raised:
        utils.wait_url(http_sink.url, timeout=0.1)
    assert isinstance(raised.value.__cause__, requests.ConnectionError)


def test_retry_calls_again():
    """It calls so many times, and longer apart each time; then the last exception goes through."""
    calls = []

    @utils.retry(KeyError, tries=3, delay=0.001, backoff=1.5)
    def fails(argument, *, word):
        """Fail."""
        calls.append((argument, word))
        raise KeyError(len(calls))

    with pytest.raises(KeyError, match="3"):
        fails(1, word="x")
    assert calls == [(1, "x")] * 3
    assert (fails.__name__, fails.__doc__) == ("fails", "Fail.")


def test_retry_lets_other_exceptions_and_results_through():
    """Only what was named is tried again."""
    calls = []

    @utils.retry((KeyError, OSError), delay=0)
    def works_at_last():
        calls.append(1)
        if len(calls) == 1:
            raise FileNotFoundError
        return len(calls)

    assert works_at_last() == 2

    @utils.retry(KeyError, delay=0)
    def raises():
        calls.append(1)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the class is what matters
        raises()
    assert len(calls) == 3
    with pytest.raises(ValueError, match="tries=0"):
        utils.retry(KeyError, tries=0)


def test_approx_goes_to_any_depth():
    """Floats may differ a little; the rest may not, in any place."""
    struct = {"a": [1.0, (2.0, "x", None, True)], "b": {"c": 3, "d": 0.1 + 0.2}}
    assert utils.approx(struct) == {"a": [1.0000001, (1.9999999, "x", None, True)], "b": {"c": 3, "d": 0.3}}
    assert utils.approx(struct) != {"a": [1.1, (2.0, "x", None, True)], "b": {"c": 3, "d": 0.3}}
    assert utils.approx(struct, abs=0.2) == {"a": [1.1, (2.0, "x", None, True)], "b": {"c": 3, "d": 0.3}}
    assert utils.approx(struct) != {"a": [1.0, (2.0, "y", None, True)], "b": {"c": 3, "d": 0.3}}
    assert utils.approx(struct) != {"a": [1.0, (2.0, "x", None, True)], "b": {"c": 3}}


class Point(NamedTuple):
    """A tuple with names."""

    x: float
    name: str


def test_approx_of_named_tuples():
    """They are tuples too, and stay what they are."""
    assert utils.approx([Point(1.0, "a")]) == [Point(1.0000001, "a")]
    assert utils.approx(Point(1.0, "a")) != Point(1.1, "a")
    assert utils.approx(Point(1.0, "a")).name == "a"


def test_the_gateway_is_that_of_the_container(tmp_path):
    """In a container it is the default route's; on a host, and without a route, localhost."""
    assert gateway(tmp_path) == "localhost"
    (tmp_path / ".dockerenv").touch()
    assert in_docker(tmp_path)
    assert gateway(tmp_path) == "localhost"
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    )
    assert gateway(tmp_path) == "172.17.0.1"


def test_podman_is_a_container_too(tmp_path):
    """Podman has another file."""
    assert not in_docker(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    assert in_docker(tmp_path)


def test_documented_names_are_there():
    """The module's constants are found out when asked for; others are missing as usual."""
    assert gateway() == utils.DOCKER_GATEWAY
    assert utils.in_docker() == in_docker()
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = utils.no_such_name


def test_skip_if_ci(tmp_path):
    """The environment is read when the test's turn comes, not at import."""
    (tmp_path / "test_it.py").write_text(
        """
import os
from c2c_testing.utils import skipIfCI

def test_change():
    os.environ["CI"] = "false"

@skipIfCI
def test_runs():
    os.environ["CI"] = "true"

@skipIfCI
def test_skipped():
    raise ValueError

def test_change_again():
    del os.environ["CI"]
    os.environ["IN_CI"] = "1"

@skipIfCI
def test_skipped_too():
    raise ValueError
"""
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {key: given for key, given in os.environ.items() if key not in ("CI", "IN_CI")}
    result = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert "3 passed, 2 skipped" in result.stdout, result.stdout
