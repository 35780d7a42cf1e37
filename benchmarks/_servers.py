"""Servers of the benchmarks: a contender under gunicorn, or under c2c-run, with the same arguments."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import request
from benchmarks._served import CONTENDER, STATSD_PORT
from benchmarks._statsd_reader import statsd_reader
from c2c_testing.servers import free_port, redis_server

WITH_REDIS = f"{request.WHOLE}, Redis too"
LIMIT = 120.0  # s
_ROOT = Path(__file__).parents[1]
_INI = """[app:main]
paste.app_factory = benchmarks._served:factory

[loggers]
keys = root

[logger_root]
level = WARNING
handlers = json

[handlers]
keys = json

[handler_json]
class = c2c_logging.JsonLogHandler
args = (sys.stdout,)

[formatters]
keys =
"""


@contextlib.contextmanager
def place() -> "Iterator[Place]":
    """Give what all servers share; it ends with the block."""
    with statsd_reader() as port, tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        ini = Path(folder) / "service.ini"
        ini.write_text(_INI)
        yield Place(ini, port, redis.url)


@dataclass(frozen=True, slots=True)
class Place:
    """What all servers share."""

    ini: Path
    statsd_port: int
    redis_url: str


@contextlib.contextmanager
def server(place: Place, name: str, workers: int, arguments: tuple[str, ...] = ()) -> Iterator[tuple[int, int]]:
    """Start a contender's server; give its port and the process id of its master, once it answers."""
    port = free_port()
    environ = {**os.environ, CONTENDER: request.WHOLE if name == WITH_REDIS else name, "PYTHONPATH": str(_ROOT)}
    if name in {request.WHOLE, WITH_REDIS, request.WHOLE_NO_DATABASE}:
        environ[STATSD_PORT] = str(place.statsd_port)
    if name == WITH_REDIS:
        environ["C2C_REDIS_URL"] = place.redis_url
    programs = Path(sys.executable).parent
    common = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "10", "--workers", str(workers)]
    command: list[str | Path]
    if STATSD_PORT in environ:
        command = [programs / "c2c-run", place.ini, "--", *common, *arguments]
        environ["GUNICORN_PARAMS"] = "--log-level=error"
    else:
        command = [programs / "gunicorn", "--log-level=error", *common, *arguments, "benchmarks._served:factory()"]
    process = subprocess.Popen(command, env=environ, cwd=_ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + LIMIT
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server of {name} does not answer")
            time.sleep(0.01)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(port: int) -> bool:
    """Return whether the server answers its ping."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=10) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 # HTTP's OK
    except (OSError, urllib.error.URLError):
        return False


def children(master: int) -> list[int]:
    """Return the process ids of a master's workers."""
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
