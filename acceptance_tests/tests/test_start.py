"""``make run`` itself: what it prints, Ctrl-C, a busy port, and settings that can't be followed."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from c2c_testing.servers import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "acceptance_tests.demo"]
C2C_RUN = str(Path(sys.executable).parent / "c2c-run")
APP = ROOT / "acceptance_tests" / "app"


@pytest.fixture
def running() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the demo as ``make run`` does, in a process group of its own; give it with what it printed."""
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    printed = ""
    assert process.stdout
    for line in process.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    yield process, printed
    process.kill()
    process.stdout.close()
    process.wait()


def test_it_prints_the_urls_and_ctrl_c_stops_everything(running: tuple["subprocess.Popen[str]", str]) -> None:
    """The URLs are plain lines that answer; Ctrl-C, to the whole group as a terminal sends it, leaves nothing."""
    process, printed = running
    urls = re.findall(r"^http\S+$", printed, re.MULTILINE)
    assert [re.sub(r"^http://127.0.0.1:\d+", "", url) for url in urls] == [
        "/api/hello",
        "/api/c2c",
        "/api/c2c/health_check",
        "/api/metrics",
    ]
    for url in urls:
        assert requests.get(url, timeout=30).status_code == 200
    secret = re.search(r"secret: (\S+)", printed)
    assert secret
    members = requests.get(f"{urls[1]}/members", headers={"X-API-Key": secret[1]}, timeout=30).json()
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", printed)]
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=90) == 0
    for member in members["members"]:
        assert not Path(f"/proc/{member['pid']}").exists()
    deadline = time.monotonic() + 60
    for port in ports:
        while _answers(port):
            assert time.monotonic() < deadline, f"something still listens on {port}"
            time.sleep(0.1)


def test_ctrl_c_where_nobody_reads(running: tuple["subprocess.Popen[str]", str]) -> None:
    """Ctrl-C ends the demo although what it prints stands in a full pipe, as of a terminal that is stopped."""
    process, printed = running
    assert process.stdout
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    url = re.findall(r"^http\S+$", printed, re.MULTILINE)[0]
    with requests.Session() as session:
        for number in range(1_000):
            session.get(f"{url}?missing={number}", timeout=30)
            session.get(f"{url}/../c2c/nowhere{number}", timeout=30)
    time.sleep(1)  # so that what they logged is printed
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=90) == 0


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_busy_port_is_said() -> None:
    """A port that was asked for and is taken is one line with the remedy, exit 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            COMMAND, cwd=ROOT, env={**os.environ, "PORT": port}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"port {port} is busy" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _environ(**changed: str) -> dict[str, str]:
    environ = {
        "PATH": os.environ["PATH"],
        "SQLALCHEMY_URL": "postgresql://u:canary-pw@127.0.0.1:1/d",
        "SQLALCHEMY_URL_SLAVE": "postgresql://u:canary-pw@127.0.0.1:1/d",
        "OUTGOING_URL": "http://127.0.0.1:1",
        "LOG_LEVEL": "INFO",
        "OTHER_LOG_LEVEL": "INFO",
        "SQL_LOG_LEVEL": "WARNING",
        "GUNICORN_PARAMS": f"-b 127.0.0.1:{free_port()} --workers 1",
    }
    return {**environ, **changed}


def test_an_undefined_variable_is_one_line() -> None:
    """c2c-run names the variable that the ini file needs and nobody set; exit 2."""
    environ = _environ()
    del environ["SQLALCHEMY_URL_SLAVE"]
    done = subprocess.run(
        [C2C_RUN, str(APP / "production.ini")], env=environ, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 2
    assert "SQLALCHEMY_URL_SLAVE" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("url", ["http://u:canary-pw@host", "redis://", "nonsense://x"])
def test_a_malformed_redis_url_stops_the_start(url: str) -> None:
    """The error names variable and key, and shows no password."""
    done = subprocess.run(
        [C2C_RUN, str(APP / "production.ini")],
        env=_environ(C2C_REDIS_URL=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "C2C_REDIS_URL" in output
    assert "c2c.redis_url" in output
    assert "canary-pw" not in output
