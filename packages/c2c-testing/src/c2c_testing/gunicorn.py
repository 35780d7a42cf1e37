"""A real gunicorn with several workers, for tests of what forks, recycles and dies."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._places import ServerError, free_port
from c2c_testing.servers._server import LocalServer
from c2c_testing.servers._watchdog import parents


class Gunicorn(LocalServer):
    """A running gunicorn. ``port`` and ``url`` stay the same over ``stop``, ``start`` and ``kill``."""

    _stop_timeout = 60.0

    def __init__(self, keeper: Keeper, port: int, command: "Command") -> None:
        super().__init__(keeper, port)
        self._command = command
        self.workers = command.workers

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def master(self) -> int:
        """The id of the arbiter, gunicorn's main process."""
        return super().pids()[0]

    def pids(self) -> list[int]:
        """Return the ids of the living workers, oldest first."""
        every = super().pids()
        of = parents()
        return [pid for pid in every[1:] if of.get(pid) == every[0]]

    def signal(self, number: int) -> None:
        """Send a signal to the arbiter: HUP reloads, TTIN and TTOU change the number of workers."""
        self._keeper.send(number)

    def _cwd(self) -> Path:
        return self._command.cwd

    def _env(self) -> Mapping[str, str | None]:
        return {"GUNICORN_CMD_ARGS": None, **self._command.env}

    def _argv(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "gunicorn", "--bind", f"{self.host}:{self.port}", *self._command.words]

    def _is_ready(self, pid: int) -> bool:
        # "Listening at: http://127.0.0.1:8080 (<pid>)": it is this process that has the port.
        listens = any("Listening at" in line and f"({pid})" in line for line in self.log_text().splitlines())
        if not listens or len(self.pids()) < self.workers:
            return False
        return self._command.ready is None or self._answers(self._command.ready)

    def _answers(self, path: str) -> bool:
        connection = HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            connection.getresponse().read()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return True


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: words after ``gunicorn --bind ...``, environment (None unsets), folder, path asked when ready."""

    words: Sequence[str]
    env: Mapping[str, str | None]
    cwd: Path
    workers: int
    ready: str | None


def _no_control_socket() -> list[str]:
    # From 25.1 on, gunicorn makes a socket in the user's home, one for all.
    from gunicorn import config

    return ["--no-control-socket"] if hasattr(config, "ControlSocketDisable") else []


@contextlib.contextmanager
def gunicorn(
    app: str | None = None,
    *,
    workers: int = 1,
    preload: bool = False,
    env: Mapping[str, str | None] | None = None,
    args: Sequence[str] = (),
    cwd: Path | str | None = None,
    port: int | None = None,
    ready: str | None = "/",
) -> Iterator[Gunicorn]:
    """Start a gunicorn; it and its workers are gone at the end, whatever happens to this process.

    Args:
        app: ``module:name``, looked for in ``cwd`` and this environment; None where ``args`` say it (``--paste``)
        workers: how many
        preload: load the application before forking
        env: variables over this process's; None unsets
        args: more of gunicorn's arguments, such as ``["--max-requests", "10", "--threads", "4"]``
        cwd: the folder to run in; this process's by default
        port: of 127.0.0.1; a free one by default
        ready: path whose answer, of whatever status, says that it is up; None waits for the workers' processes only

    Raises:
        ServerError: gunicorn is not installed, or did not start; the message has the end of its log
        PortBusyError: the port that was asked for is taken
    """
    if importlib.util.find_spec("gunicorn") is None:
        raise ServerError("gunicorn is not installed: add it to the test dependencies of what you test")
    words = ["--workers", str(workers), "--graceful-timeout", "10", *_no_control_socket()]
    words += [*(["--preload"] if preload else []), *args, *([app] if app else [])]
    keeper = Keeper(os.geteuid())
    try:
        command = Command(words, env or {}, Path(cwd or ".").resolve(), workers, ready)
        server = Gunicorn(keeper, port or free_port(), command)
        server.start_first(fixed=port is not None)
        yield server
    finally:
        keeper.close()
