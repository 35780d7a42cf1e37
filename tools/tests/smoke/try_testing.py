"""Try c2c-testing, which has nothing to include: a test run with its plugin asks a server of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_TEST = """
from c2c_testing import Connection

def test_plugin(http_sink):
    Connection(http_sink.url, "http://localhost").session.get(http_sink.url, timeout=60)
    assert len(http_sink.requests) == 1
"""


def alone() -> None:
    """Run a test that uses the plugin's fixtures and a connection."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(_TEST)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
        found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert found.returncode == 0, found.stdout


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
    from c2c_testing.sinks import HttpSink

    with HttpSink() as sink, Connection(sink.url, "https://www.example.com") as connection:
        sink.answer(body="<root/>", headers={"Content-Type": "text/xml"})
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
