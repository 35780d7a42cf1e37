"""What an application answers is the same with c2c_stats and without it, byte for byte."""

import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

ADDED = re.compile(rb'Server-Timing: route;desc="[^\r]*\r\n')
DATE = re.compile(rb"Date: [^\r]*\r\n")
# fmt: off
NAMES = [
    "text", "unicode", "empty", "stream", "stream_with_length", "stream_conditional", "stream_with_etag",
    "stream_with_timing", "tuple", "deque", "empty_parts", "closed", "broken_body", "shared",
    "stream_given_again", "file", "file_of_request", "file_wrapper", "file_ranged", "gzip", "cookies",
    "no_content", "redirect", "not_modified", "unauthorized", "raised", "foreign", "not_of_webob", "md5",
    "custom_status", "json", "string", "callback", "own_in_renderer", "stream_in_renderer", "broken_rendering",
    "only_get", "nowhere", "static/answers_app.py", "closings",
]
# fmt: on
HEADERS = {
    "GET": b"",
    "HEAD": b"",
    "POST": b"Content-Length: 3\r\n\r\na=b",
    "range": b"Range: bytes=5-9\r\n",
    "end": b"Range: bytes=-7\r\n",
    "too far": b"Range: bytes=9999999-\r\n",
    "known": b'If-None-Match: "tag", "abc"\r\n',
    "recent": b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
    "json": b"Accept: application/json\r\n",
}


def ask(url, name, kind):
    """Return the bytes of an answer, without its date and our header."""
    place = urlsplit(url)
    method = kind if kind.isupper() else "GET"
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        head = f"{method} /{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
        rest = HEADERS[kind]
        connection.sendall(head + rest + (b"" if b"\r\n\r\n" in rest else b"\r\n"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return ADDED.sub(b"", DATE.sub(b"", answer)), len(ADDED.findall(answer))


@pytest.fixture
def servers(gunicorn):
    """Give the addresses of the application without c2c_stats, and with it; each of one worker."""
    options = {"workers": 1, "cwd": FOLDER, "ready": None}
    bare = gunicorn("answers_app:application", env={"BARE": "1"}, **options)
    ours = gunicorn("answers_app:application", **options)
    return bare.url, ours.url


def test_answers_are_unchanged(servers):
    """40 kinds of answers to nine kinds of requests: bodies, lengths, ranges, 304, HEAD, closing, files, errors."""
    assert len(NAMES) >= 40
    other, timed = [], 0
    for name in NAMES:
        for kind in HEADERS:
            (bare, _), (ours, added) = ask(servers[0], name, kind), ask(servers[1], name, kind)
            if (name, kind) == ("raised", "json"):
                continue  # Pyramid makes a constant's body once, as the first client wanted it; ours is a copy
            timed += added
            assert added <= 1, (name, kind)
            if bare != ours:
                other.append((name, kind, bare[:400], ours[:400]))
    assert not other
    assert timed > 200


def test_an_object_given_out_again_and_again(servers):
    """A response that is a constant has one Server-Timing header, and its body is not wrapped ever deeper."""
    for _ in range(1_200):
        answer, added = ask(servers[1], "stream_given_again", "GET")
        assert (answer[-15:], added) == (b"again and again", 1)
    for name in ("shared", "raised"):
        assert [ask(servers[1], name, "GET")[1] for _ in range(3)] == [1, 1, 1]


def test_no_marks(make_app):
    """An exception that is an answer, a constant of the application, is as it was before."""
    from answers_app import RAISED

    def view(_request):
        raise RAISED

    def configure(config):
        config.add_route("raised", "/raised")
        config.add_view(view, route_name="raised")

    app = make_app(configure)
    before = dict(vars(RAISED)), list(RAISED.headerlist)
    answer = app.get("/raised", status=404)
    assert "Server-Timing" in answer.headers
    assert (dict(vars(RAISED)), list(RAISED.headerlist)) == before
    assert app.get("/c2c/stats.json").json["timers"]["route/GET/raised/404"]["nb"] == 1


def test_responses_of_other_classes_are_measured(make_app):
    """What is just a WSGI application has no status for us, and is timed nevertheless."""
    from answers_app import NotOfWebOb

    def configure(config):
        config.add_route("other", "/other")
        config.add_view(lambda _request: NotOfWebOb(), route_name="other")

    app = make_app(configure)
    app.get("/other", status=203)
    assert app.get("/c2c/stats.json").json["timers"]["route/GET/other/_"]["nb"] == 1
