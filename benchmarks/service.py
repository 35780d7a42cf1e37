"""What the toolkit costs a service that runs: start, memory, answers. Run: ``python -m benchmarks service``.

The base (Pyramid, pyramid_tm, cornice, SQLAlchemy) under gunicorn, the same with c2c-meta whole under c2c-run, the same
with OpenTelemetry's instrumentation: all with the same arguments (threads, no access log). Load comes from wrk, eight
connections; servers take turns, the idle ones wait. Bars (issue 12): requests a second >= 0.97 of the base's, two
workers' memory (PSS) 75 MB where the base's is 62.
"""

import contextlib
import os
import re
import shutil
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
from benchmarks._case import Case, Measured, Missing, alternate
from benchmarks._served import CONTENDER, STATSD_PORT
from benchmarks._statsd_reader import statsd_reader
from benchmarks._table import show
from c2c_testing.servers import free_port, redis_server

_ROOT = Path(__file__).parents[1]
_WITH_REDIS = f"{request.WHOLE}, Redis too"
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
_PRELOAD = ("--preload",)
_WARM_UP = 300
_LIMIT = 120.0


def main() -> None:
    """Print the table."""
    show(cases())


def cases() -> Iterator[Case | Missing]:
    """Start servers, look at their memory, then put load on them."""
    with statsd_reader() as port, tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        ini = Path(folder) / "service.ini"
        ini.write_text(_INI)
        place = _Place(ini, port, redis.url)
        yield _start(place)
        yield _memory(place, "two workers' memory (PSS)", ())
        yield _memory(place, "the same with --preload", _PRELOAD)
        yield from _load(place)


@dataclass(frozen=True, slots=True)
class _Place:
    """What all servers share."""

    ini: Path
    statsd_port: int
    redis_url: str


@contextlib.contextmanager
def _server(place: _Place, name: str, workers: int, arguments: tuple[str, ...] = ()) -> Iterator[tuple[int, int]]:
    """Start a contender's server; give its port and the process id of its master, once it answers."""
    port = free_port()
    environ = {**os.environ, CONTENDER: request.WHOLE if name == _WITH_REDIS else name, "PYTHONPATH": str(_ROOT)}
    if name in {request.WHOLE, _WITH_REDIS}:
        environ[STATSD_PORT] = str(place.statsd_port)
    if name == _WITH_REDIS:
        environ["C2C_REDIS_URL"] = place.redis_url
    programs = Path(sys.executable).parent
    common = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "10", "--workers", str(workers)]
    command: list[str | Path]
    if STATSD_PORT in environ:
        command = [programs / "c2c-run", place.ini, "--", *common, *arguments]
        environ["GUNICORN_PARAMS"] = "--log-level=warning"
    else:
        command = [programs / "gunicorn", "--log-level=warning", *common, *arguments, "benchmarks._served:factory()"]
    process = subprocess.Popen(command, env=environ, cwd=_ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + _LIMIT
        while not _answers(port):
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


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=10) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 # HTTP's OK
    except (OSError, urllib.error.URLError):
        return False


def _start(place: _Place) -> Case:
    def seconds(name: str) -> float:
        start = time.perf_counter()
        with _server(place, name, workers=5):
            return time.perf_counter() - start

    names = (request.WHOLE, request.BASE)
    found = alternate({name: lambda name=name: seconds(name) for name in names}, 2)  # type: ignore[misc] # of a loop
    return Case("start of five workers, to the first answer", "s", found[request.WHOLE], (found[request.BASE],))


def _memory(place: _Place, title: str, arguments: tuple[str, ...]) -> Case:
    def megabytes(name: str) -> float:
        with _server(place, name, 2, arguments) as (port, master):
            _wait_for_workers(master, 2)
            for _ in range(_WARM_UP):
                _answers(port)
            return sum(_pss(pid) for pid in _children(master))

    names = (request.WHOLE, _WITH_REDIS, request.BASE, request.OPEN_TELEMETRY)
    found = alternate({name: lambda name=name: megabytes(name) for name in names}, 1)  # type: ignore[misc] # of a loop
    ours = found.pop(request.WHOLE)
    found[request.BASE] = found[request.BASE].bar(most=75 / 62)
    return Case(title, "MB", ours, tuple(found.values()))


def _children(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def _wait_for_workers(master: int, count: int) -> None:
    """Wait until all workers have read their application: their memory no longer grows."""
    deadline, before = time.monotonic() + _LIMIT, -1.0
    while time.monotonic() < deadline:
        pids = _children(master)
        now = round(sum(_pss(pid) for pid in pids), 1)
        if len(pids) == count and now == before:
            return
        before = now
        time.sleep(1)


def _pss(pid: int) -> float:
    """Return a process's share of memory in MB: shared pages divided by those who share them."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def _load(place: _Place) -> Iterator[Case | Missing]:
    wrk = shutil.which("wrk")
    if wrk is None:
        yield Missing("requests a second under gunicorn with two workers", "wrk is not installed: apt install wrk")
        return
    names = (request.WHOLE, request.BASE, request.OPEN_TELEMETRY)
    rates: dict[str, list[float]] = {name: [] for name in names}
    slowest: dict[str, list[float]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(_server(place, name, 2))[0] for name in names}

        def turn(name: str) -> float:
            rate, p99 = _wrk(wrk, ports[name])
            rates[name].append(rate)
            slowest[name].append(p99)
            return rate

        for name in names:
            _wrk(wrk, ports[name])  # both workers are up, and warm
            rates[name].clear()
            slowest[name].clear()
        alternate({name: lambda name=name: turn(name) for name in names}, 6)  # type: ignore[misc] # of a loop
    rate = {name: Measured(name, tuple(rates[name])) for name in names}
    p99 = {name: Measured(name, tuple(slowest[name])) for name in names}
    title = "requests a second, two workers under gunicorn"
    yield Case(
        title,
        "1/s",
        rate[request.WHOLE],
        (rate[request.BASE].bar(least=0.97), rate[request.OPEN_TELEMETRY]),
        "of a higher rate more is better",
    )
    yield Case(f"{title}: p99", "ms", p99[request.WHOLE], (p99[request.BASE], p99[request.OPEN_TELEMETRY]))


def _wrk(wrk: str, port: int) -> tuple[float, float]:
    """Return requests a second, and the milliseconds in which 99 of 100 are answered."""
    command = [wrk, "-t1", "-c8", "-d1s", "--latency", f"http://127.0.0.1:{port}/ping"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec: +([\d.]+)", said)
    p99 = re.search(r"^ +99% +([\d.]+)(us|ms|s)", said, re.MULTILINE)
    assert rate
    assert p99
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


if __name__ == "__main__":
    main()
