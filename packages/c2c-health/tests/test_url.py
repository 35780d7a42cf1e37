"""The check of a URL, against a real server."""

import contextlib
import functools
import math
import re
import socket
import threading
import time

import pytest
import requests

from c2c_broadcast import ConfigurationError
from c2c_health.checks.url import why
from c2c_testing.servers import free_port


def _failure(service):
    [found] = service.get(status=500).json["failures"].values()
    return found["message"]


def test_a_url_that_answers(service, http_sink):
    """2xx passes; what check_cb returns is the result; parameters and headers are sent."""
    made = service()
    http_sink.answer("/a,b", json={"x": 1})
    made.health.add_url_check(
        f"{http_sink.url}/a,b?q=1",
        params={"p": "2"},
        headers={"X-Mine": "yes"},
        check_cb=lambda request, response: {"path": request.path, "got": response.json()},
    )
    [(name, found)] = made.get().json["successes"].items()
    assert name == f"{http_sink.url}/a_b"
    assert found["result"] == {"path": "/c2c/health_check", "got": {"x": 1}}
    [asked] = http_sink.requests
    assert asked.query == {"q": ["1"], "p": ["2"]}
    assert asked.headers["x-mine"] == "yes"


def test_functions_of_the_request(service, http_sink):
    """URL, parameters and headers may be; a named function names the check."""
    made = service()

    def target(request):
        return f"{http_sink.url}/{request.GET['who']}"

    made.health.add_url_check(
        target, params=lambda request: {"m": request.method}, headers=lambda request: {"X-Path": request.path}
    )
    assert list(made.get("/health_check?who=me").json["successes"]) == ["target"]
    [asked] = http_sink.requests
    assert (asked.path, asked.query["m"], asked.headers["x-path"]) == ("/me", ["GET"], "/c2c/health_check")


def test_a_function_that_gives_no_url(service):
    """Is a failure that says so."""
    made = service()
    made.health.add_url_check(lambda request: None)
    assert _failure(made) == "the function for the URL gave None"


def test_the_request_id_goes_along(service, http_sink):
    """As c2c-logging knows it, else as the client sent it; a header of the application's own wins."""
    made = service()
    made.config.add_request_method(lambda request: request.GET.get("id"), "c2c_request_id", property=True)
    made.health.add_url_check(http_sink.url, name="plain")
    made.health.add_url_check(http_sink.url, name="own", headers={"x-request-id": "mine"}, level=2)
    made.get("/health_check?id=abc")
    made.get("/health_check", headers={"X-Request-ID": "sent"})
    made.get("/health_check?checks=own&id=abc")
    assert [asked.headers["x-request-id"] for asked in http_sink.requests] == ["abc", "sent", "mine"]


@pytest.mark.parametrize("status", [199 + 105, 400, 404, 500, 503])
def test_not_2xx_fails(service, http_sink, status):
    """With the status in the message; check_cb is not asked."""
    made, asked = service(), []
    http_sink.answer(status=status)
    made.health.add_url_check(http_sink.url, check_cb=lambda *both: asked.append(both))
    assert _failure(made).startswith(f"answered {status}")
    assert asked == []


def test_redirects_are_followed(service, http_sink):
    """To where the answer is."""
    made = service()
    http_sink.answer("/from", status=302, headers={"Location": "/to"})
    made.health.add_url_check(f"{http_sink.url}/from")
    made.get()
    assert http_sink.requests[-1].path == "/to"


def test_a_server_that_never_answers(service, http_sink):
    """Fails at the deadline."""
    made = service()
    http_sink.answer(delay=math.inf)
    made.health.add_url_check(http_sink.url, timeout=0.3)
    begun = time.monotonic()
    assert re.search(r"no answer within .* s \(time-out\)|timed out", _failure(made))  # where the machine is slow
    assert time.monotonic() - begun < 10


def test_messages_say_what_it_was(service, http_sink):
    """No such name, nobody there, no connection, no answer, or the connection was closed."""
    for url, message in (
        ("http://nowhere.invalid/", "its name can't be resolved (DNS)"),
        (f"http://127.0.0.1:{free_port()}/", "the connection was refused"),
    ):
        made = service()
        made.health.add_url_check(url, timeout=30)
        assert _failure(made) == message
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as clients:
        for _ in range(5):  # so many that the kernel takes no further one
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        assert _why(f"http://127.0.0.1:{full.getsockname()[1]}/") == "no connection within 0.3 s (time-out)"
    http_sink.answer(delay=math.inf)
    assert _why(http_sink.url) == "no answer within 0.3 s (time-out)"
    with socket.create_server(("127.0.0.1", 0)) as closing:
        threading.Thread(target=_hang_up, args=(closing, b"")).start()
        assert _why(f"http://127.0.0.1:{closing.getsockname()[1]}/", 30) == "the connection was closed"
        threading.Thread(target=_hang_up, args=(closing, b"no TLS")).start()
        assert _why(f"https://127.0.0.1:{closing.getsockname()[1]}/", 30).startswith("the TLS handshake failed: ")


def _hang_up(listener, words):
    with listener.accept()[0] as client:
        client.recv(10_000)
        client.sendall(words)


def _why(url, seconds=0.3):
    with pytest.raises(requests.RequestException) as raised:
        requests.get(url, timeout=seconds)
    return why(raised.value, seconds)


def test_a_huge_body_is_not_read(service, http_sink):
    """What check_cb does not read is not transferred."""
    made = service()
    http_sink.answer(body=b"x" * 50_000_000)
    made.health.add_url_check(http_sink.url)
    assert made.get().json["failures"] == {}


def test_killed_and_back(service, http_sink):
    """Red while the server is away, green when it is back."""
    made = service()
    made.health.add_url_check(http_sink.url)
    made.health.add_custom_check("other", lambda request: None)
    assert made.get().json["failures"] == {}
    with http_sink.down():
        assert set(made.get(status=500).json["successes"]) == {"other"}
    assert made.get().json["failures"] == {}


@pytest.mark.parametrize("url", ["ftp://x", "localhost", "", "http://[::1"])
def test_what_is_no_url_stops_the_start_up(service, url):
    """Whatever is wrong with it."""
    with pytest.raises(ConfigurationError, match="The health check of a URL"):
        service().health.add_url_check(url)


def test_a_function_without_a_name(service, http_sink):
    """A lambda or a partial makes a check named ``url``; a second one wants a name."""
    made = service()
    made.health.add_url_check(lambda request: http_sink.url)
    made.health.add_url_check(functools.partial(str.format, http_sink.url), name="second")
    assert list(made.get().json["successes"]) == ["second", "url"]
    with pytest.raises(ConfigurationError, match="Two health checks are named url"):
        made.health.add_url_check(functools.partial(str.format, http_sink.url))
