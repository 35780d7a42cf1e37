"""A real gunicorn with several workers, for tests of what forks, recycles and dies."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from c2c_testing.servers import LocalServer, ServerError
from c2c_testing.servers._watchdog import parents


class Gunicorn(LocalServer):
    """A gunicorn; it and its workers are gone at the end of the ``with``, whatever happens to this process.

    ``signal(number)`` goes to the arbiter: HUP reloads, TTIN and TTOU change the number of workers.

    Args:
        app: ``module:name``, looked for in ``cwd`` and this environment; None where ``args`` say it (``--paste``)
        workers: how many
        preload: whether they are forked from an arbiter that has loaded the application
        env: variables over this process's; None unsets
        args: more of gunicorn's arguments, such as ``["--max-requests", "10", "--threads", "4"]``
        cwd: the folder to run in; this process's by default
        port: of 127.0.0.1; a free one by default
        ready: path whose answer, of whatever status, says that it is up; None waits for the workers' processes only

    Raises:
        ServerError: gunicorn is not installed, or did not start; the message has the end of its log
    """

    _stop_timeout = 60.0

    def __init__(
        self,
        app: str | None = None,
        *,
        workers: int = 1,
        preload: bool = False,
        env: Mapping[str, str | None] | None = None,
        args: Sequence[str] = (),
        cwd: Path | str | None = None,
        port: int | None = None,
        ready: str | None = "/",
    ) -> None:
        try:
            from gunicorn import config
        except ImportError as error:
            raise ServerError("gunicorn is not installed: add it to the test dependencies of what you test") from error
        super().__init__(port)
        self.workers = workers
        self._words = ["--workers", str(workers), "--graceful-timeout", "10", *args]
        if hasattr(config, "ControlSocketDisable"):  # of 25.1: a socket in the user's home, one for all
            self._words.insert(0, "--no-control-socket")
        if preload:
            self._words.insert(0, "--preload")
        if app:
            self._words.append(app)
        self._variables = env or {}
        self._folder = Path(cwd or ".").resolve()
        self._ready = ready

    @property
    def master(self) -> int:
        """The id of the arbiter, gunicorn's main process."""
        return super().pids()[0]

    def pids(self) -> list[int]:
        """Return the ids of the living workers, oldest first."""
        every = super().pids()
        of = parents()
        return [pid for pid in every[1:] if of.get(pid) == every[0]]

    def _cwd(self) -> Path:
        return self._folder

    def _env(self) -> Mapping[str, str | None]:
        return {"GUNICORN_CMD_ARGS": None, **self._variables}

    def _argv(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "gunicorn", "--bind", f"{self.host}:{self.port}", *self._words]

    def _is_ready(self, pid: int) -> bool:
        # "Listening at: http://127.0.0.1:8080 (<pid>)": it is this process that has the port.
        listens = any("Listening at" in line and f"({pid})" in line for line in self.log_text().splitlines())
        if not listens or len(self.pids()) < self.workers:
            return False
        try:
            if self._ready is not None:
                requests.get(f"{self.url}{self._ready}", timeout=5, allow_redirects=False)
        except requests.RequestException:
            return False
        return True


gunicorn = Gunicorn
