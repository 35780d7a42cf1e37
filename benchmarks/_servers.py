"""What contenders run in: a process that is asked for a sample, or a server; and a statsd that reads and forgets."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from c2c_testing.servers import free_port

ROOT = Path(__file__).parents[1]
LIMIT = 120.0  # s
_INI = """[app:main]
paste.app_factory = benchmarks.request:factory

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


class Asked:
    """A process of ``python -m MODULE ARGUMENTS`` that answers each line with a number; ``under`` is what runs it."""

    def __init__(self, module: str, *arguments: object, under: tuple[str, ...] = ()) -> None:
        command = [*under, sys.executable, "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.pid = self._process.pid

    def ask(self, line: str = "") -> float:
        """Return its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@contextlib.contextmanager
def statsd_reader() -> Iterator[int]:
    """Give the port of a statsd server in a process of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        program = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile True: s.recv(65536)"
        child = subprocess.Popen([sys.executable, "-c", program, str(server.fileno())], pass_fds=[server.fileno()])
        try:
            yield server.getsockname()[1]
        finally:
            child.kill()
            child.wait()


@contextlib.contextmanager
def server(
    folder: Path, contender: str, statsd: int, workers: int, *arguments: str, whole: bool
) -> Iterator[tuple[int, int]]:
    """Start a contender of ``benchmarks.request`` under gunicorn, or whole under c2c-run; the same arguments for both.

    Give its port and the process id of its master, once it answers.
    """
    port = free_port()
    environ = {**os.environ, "C2C_BENCHMARK": contender, "C2C_BENCHMARK_STATSD": str(statsd), "PYTHONPATH": str(ROOT)}
    common = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "10", "--workers", str(workers)]
    programs = Path(sys.executable).parent
    command: list[str | Path] = [programs / "gunicorn", "--log-level=error", "benchmarks.request:factory()"]
    if whole:
        environ["C2C_EXCLUDE"] = "c2c_db" if contender.endswith("no database") else ""  # c2c-run is to know it, too
        (folder / "service.ini").write_text(_INI)
        environ["GUNICORN_PARAMS"] = "--log-level=error"
        command = [programs / "c2c-run", folder / "service.ini", "--"]
    command += [*common, *arguments]
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + LIMIT
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server of {contender} does not answer")
            time.sleep(0.01)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(port: int, path: str = "ping") -> bool:
    """Return whether a server answers, by default its ping."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=LIMIT) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 # HTTP's OK
    except (OSError, urllib.error.URLError):
        return False


def children(master: int) -> list[int]:
    """Return the process ids of a master's workers."""
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
