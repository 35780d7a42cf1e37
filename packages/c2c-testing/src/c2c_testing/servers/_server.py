"""What every local server can do: start, stop, be killed and paused, on one port."""

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._places import HOST, PortBusyError, ServerError, free_port, is_free

_POLL = 0.02
_ATTEMPTS = 10
# Seconds that the connections of a killed server may still hold its port.
_GRACE = 5.0


class LocalServer(ABC):
    """One server on 127.0.0.1, with all its processes.

    ``port`` stays the same over restarts. Everything blocks until it is done and raises ServerError if it cannot be.
    """

    host = HOST
    #: Seconds that a start may take on a busy machine.
    start_timeout = 60.0
    #: The signal that asks the main process to end, and the seconds that it has for it.
    _stop_signal = signal.SIGTERM
    _stop_timeout = 30.0

    def __init__(self, keeper: Keeper, port: int) -> None:
        self._keeper = keeper
        self.port = port
        self._was_started = False

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients."""

    @abstractmethod
    def _argv(self) -> Sequence[str | Path]: ...

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Tell whether the server of this process, and no other, answers on our port."""

    def _env(self) -> Mapping[str, str | None]:
        return {}

    def _cwd(self) -> Path:
        return self.folder

    def __repr__(self) -> str:
        """Name the server by its port: the URL has a password."""
        return f"<{type(self).__name__} {self.host}:{self.port}>"

    @property
    def folder(self) -> Path:
        """The temporary folder with the server's data."""
        return self._keeper.folder

    @property
    def running(self) -> bool:
        """Whether the main process lives; a paused one does."""
        return self._keeper.is_running()

    def start(self) -> None:
        """Start it on its port and wait until it answers; nothing when it runs."""
        if self._keeper.is_running():
            return
        self._keeper.kill()  # what a dead main process left
        self._wait_for_port(_GRACE if self._was_started else 0)
        self._was_started = True
        deadline = time.monotonic() + self.start_timeout
        pid = self._keeper.start(self._argv(), self._env(), self._cwd())
        while not self._is_ready(pid):
            if not self._keeper.is_running():
                if not is_free(self.port):
                    raise PortBusyError(f"Port {self.port} of {self.host} was taken meanwhile: choose another")
                raise ServerError(f"{self!r} ended with {self._keeper.exit_code()}:\n{self.log_text()[-4000:]}")
            if time.monotonic() > deadline:
                log = self.log_text()[-4000:]
                self._keeper.kill()
                raise ServerError(f"{self!r} did not answer in {self.start_timeout} s:\n{log}")
            time.sleep(_POLL)

    def _wait_for_port(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        while not is_free(self.port):
            if time.monotonic() >= deadline:
                raise PortBusyError(
                    f"Port {self.port} of {self.host} is busy: choose another, or stop what listens there"
                )
            time.sleep(_POLL)

    def start_first(self, *, fixed: bool) -> None:
        """Start it for the first time; unless the port is fixed, on another one when someone else was faster."""
        for _ in range(0 if fixed else _ATTEMPTS):
            try:
                self.start()
            except PortBusyError:
                self.port = free_port()
                self._was_started = False
            else:
                return
        self.start()

    def stop(self) -> None:
        """Shut it down in order; nothing when it is down."""
        self._keeper.stop(self._stop_signal, self._stop_timeout)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL all its processes."""
        self._keeper.kill()

    def pause(self) -> None:
        """SIGSTOP all its processes: connections stay open, nobody answers."""
        self._keeper.pause()

    def resume(self) -> None:
        """SIGCONT all its processes."""
        self._keeper.resume()

    def restore(self) -> None:
        """Bring it back after whatever a test did: resumed and running."""
        self._keeper.resume()
        self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause it for the length of a ``with``."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Kill it, and start it again at the end of a ``with``."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def pids(self) -> list[int]:
        """Return the ids of its living processes, the main one first."""
        return self._keeper.pids()

    def log_text(self) -> str:
        """Return all that it logged since the first start."""
        try:
            return (self.folder / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""


def wait(what: str, done: Callable[[], bool], timeout: float, *not_yet: type[Exception]) -> None:
    """Wait until ``done()`` is true; exceptions of the classes ``not_yet`` mean that it is not.

    Raises:
        ServerError: it is not after ``timeout`` seconds
    """
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(*not_yet):
            if done():
                return
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not within {timeout:g} s")
        time.sleep(_POLL)


@contextlib.contextmanager
def stopped(pid: int, limit: float = 30.0) -> Iterator[None]:
    """Stop a process (SIGSTOP) within the block, and let it go on (SIGCONT) after it, whatever happens.

    The block begins once all threads are stopped: on a busy machine some of them go on for a while after the signal.

    Raises:
        ServerError: a thread still runs after ``limit`` seconds
        ProcessLookupError: there is no such process
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        wait(f"The stop of process {pid}", lambda: _states(pid) == {"T"}, limit)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> set[str]:
    """Return the states of all threads: proc(5), the field after the name, which may hold anything."""
    found = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.add(stat.read_text(errors="replace").rpartition(")")[2].split()[0])
    return found
