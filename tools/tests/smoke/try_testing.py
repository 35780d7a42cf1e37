"""Try c2c-testing, which has nothing to include: a test run with its plugin has a server of its own."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

_TEST = """
import socket

def test_plugin(statsd_sink):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"a:1|c", (statsd_sink.host, statsd_sink.port))
    assert statsd_sink.wait("a")
"""


def alone() -> None:
    """Run a test that uses the plugin's fixtures; say what the one of HTTP needs where it is not there."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(_TEST)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
        found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert found.returncode == 0, found.stdout
    if importlib.util.find_spec("pytest_httpserver") is None:
        with pytest.raises(ImportError, match=r"pip install 'c2c-testing\[http\]'"):
            importlib.import_module("c2c_testing.sinks").HttpSink  # noqa: B018 # what is imported when it is asked for


def http() -> None:
    """Ask the server that records, by a connection."""
    from c2c_testing import Connection
    from c2c_testing.sinks import HttpSink

    with HttpSink() as sink, Connection(sink.url, "http://localhost") as connection:
        connection.session.get(sink.url, timeout=60)
        assert len(sink.requests) == 1


def servers() -> None:
    """Start a Redis and a PostgreSQL."""
    from c2c_testing.servers import postgres, redis_server

    with redis_server() as redis:
        assert redis.execute("PING")
    with postgres() as database:
        assert database.execute("SELECT 42") == [(42,)]


def xml() -> None:
    """Read XML."""
    from c2c_testing import CacheExpected, Connection

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.end_headers()
            self.wfile.write(b"<root/>")

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        with Connection(f"http://127.0.0.1:{server.server_port}/", "https://www.example.com") as connection:
            tree = connection.get_xml("", cors=False, cache_expected=CacheExpected.DONT_CARE)
    assert tree.getroot().tag == "root"


def images() -> None:
    """Compare an image with itself."""
    from PIL import Image

    from c2c_testing.image import check_image

    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (32, 32), "red").save(f"{folder}/expected.png")
        check_image(folder, Image.open(f"{folder}/expected.png"), f"{folder}/expected.png")


def screenshots() -> None:
    """Ask for a picture where there is no browser: the error says what to install."""
    from c2c_testing.image import check_screenshot

    path, said = os.environ["PATH"], ""
    os.environ["PATH"] = ""
    try:
        check_screenshot("http://127.0.0.1/", tempfile.gettempdir(), "page.png")
    except RuntimeError as error:
        said = str(error)
    finally:
        os.environ["PATH"] = path  # The functions after this one start programs.
    assert "apt install chromium" in said, said
