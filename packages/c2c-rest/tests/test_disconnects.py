"""Clients that go away, over real sockets and a real gunicorn."""

import re
import socket
import struct
import time
import urllib.request

import pytest

_SERVICE = '''
import logging
from pathlib import Path

from pyramid.config import Configurator
from pyramid.events import ContextFound

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")


def read(request):
    """Read the whole body."""
    return {"length": len(request.body)}


def read_json(request):
    """Read the body as JSON."""
    return {"length": len(request.json_body)}


def stream(request):
    """Read the body bit by bit."""
    length = 0
    while part := request.body_file.read(65536):
        length += len(part)
    return {"length": length}


def begins(event):
    """Say that the view is about to read."""
    Path("begun").touch()


config = Configurator()
config.include("c2c_rest")
config.add_subscriber(begins, ContextFound)
for view in (read, read_json, stream):
    config.add_route(view.__name__, "/" + view.__name__)
    config.add_view(view, route_name=view.__name__, renderer="fast_json")
application = config.make_wsgi_app()
'''


def _eventually(check):
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _close(connection):
    connection.close()


def _reset(connection):
    # Lingering for 0 s is how a socket sends RST.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def server(gunicorn, tmp_path):
    """Give a running service that reads what it is sent."""
    (tmp_path / "service.py").write_text(_SERVICE)
    return gunicorn("service:application", cwd=tmp_path, args=["--worker-class", "gthread", "--threads", "2"])


_LENGTH = "Content-Length: 1000000\r\n\r\n" + "x" * 70000
_CHUNKED = "Transfer-Encoding: chunked\r\n\r\n10000\r\n" + "x" * 100


@pytest.mark.parametrize("end", [_close, _reset])
@pytest.mark.parametrize("body", [_LENGTH, _CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("view", ["read", "read_json", "stream"])
def test_a_client_that_goes_away_while_sending(server, view, body, end, tmp_path):
    """An upload that breaks off is one record at INFO, no traceback, and the service goes on."""
    connection = socket.create_connection((server.host, server.port), timeout=30)
    connection.sendall(f"POST /{view} HTTP/1.1\r\nHost: x\r\n{body}".encode())
    # Before that the server may not know of it.
    _eventually((tmp_path / "begun").exists)
    end(connection)
    _eventually(lambda: re.search("POST .* returned status code", server.log_text()))
    request = urllib.request.Request(
        f"{server.url}/{view}", data=b'"abc"', headers={"Content-Type": "application/json"}
    )
    assert urllib.request.urlopen(request, timeout=30).status == 200
    log = server.log_text()
    lines = [line for line in log.splitlines() if "POST" in line and "returned status code" in line]
    assert len(lines) == 1, log
    assert re.match(r"INFO c2c_rest\._errors POST http://x/\w+ returned status code 500: ", lines[0]), log
    assert "Traceback" not in log


@pytest.mark.parametrize("chunk", ["zz\r\n", "5\r\nabcdefgh\r\n", "5;\r\r\n"], ids=["size", "end", "extension"])
def test_a_body_in_broken_chunks(server, chunk):
    """Chunks that are none are the client's fault: a 400 with JSON, logged at WARNING without a traceback."""
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        head = "POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(f"{head}{chunk}0\r\n\r\n".encode())
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 400 "), answer
    assert "The body of the request can't be read" in answer
    log = server.log_text()
    assert re.search(r"WARNING c2c_rest\._errors POST http://x/read returned status code 400", log), log
    assert "Traceback" not in log
