"""The threads that serve requests: how many there are, what they are busy with, and since when all of them are.

A process whose threads are all busy writes so into a file in the family's folder, for the other members to tell. They
read it also while that process is stopped, or runs C code that holds the interpreter.
"""

import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from c2c_broadcast import mask
from c2c_broadcast.process import Process, at_exit, at_fork, family, service_folder, this_process

if TYPE_CHECKING:
    from pathlib import Path

_TEXT, _FILE = 1_000, 5_000  # characters, and bytes for them, at most
_FOLDER = "health"
# Of struct tcp_info (linux/tcp.h): of a socket that listens, tcpi_unacked is how many connections wait.
_TCP_INFO_SIZE, _WAITING = 104, slice(24, 28)
_LONGEST_QUEUE = 3_600.0


@dataclass(frozen=True, slots=True)
class Load:
    """The request threads of one process. ``full_since`` is by the monotonic clock, None where one is free.

    ``threads`` is None where the server does not tell; ``text`` names the requests of a process that is full.
    """

    pid: int
    threads: int | None
    busy: int
    full_since: float | None
    text: str = ""

    def full_for(self, now: float) -> float:
        """Return for how many seconds all threads have been busy."""
        return now - self.full_since if self.full_since is not None else 0.0


class RequestThreads:
    """Those of this process. Of each request it costs two operations on a dict, each atomic in itself."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []
        self._known: int | None = None
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin idle, with a file of its own, in the child."""
        self._lock = threading.Lock()
        self._turns, self._told = itertools.count(1), 0
        self._begun: dict[int, tuple[float, Any]] = {}
        self._full_since: float | None = None
        self._text = ""
        self._file: int | None = None
        self._path: Path | None = None

    def serve_with(self, threads: int | None, listeners: Iterable[Any] = ()) -> None:
        """Say how many threads the server has (None: it has greenlets), and on which sockets it listens."""
        self._known = threads
        self.listeners = list(listeners)

    @property
    def count(self) -> int | None:
        """How many there are; None where nobody knows."""
        if self._known is None and "waitress" in sys.modules:
            self._known = sum(thread.name.startswith("waitress") for thread in threading.enumerate()) or None
        return self._known

    def begin(self, request: Any) -> tuple[float, Any]:
        """Note that a thread is busy with a request; ``end`` wants what this returns."""
        one = (time.monotonic(), request)
        self._begun[id(one)] = one
        if self._known is not None and len(self._begun) >= self._known:
            self.tell()
        return one

    def end(self, one: tuple[float, Any]) -> None:
        """Note that the thread is free."""
        self._begun.pop(id(one), None)
        if self._full_since is not None:
            self.tell()

    def load(self) -> Load:
        """Return how this process is."""
        return Load(os.getpid(), self.count, len(self._begun), self._full_since, self._text)

    def family(self) -> Iterator[Load]:
        """Yield how this process is, and each other one of its family that has told."""
        yield self.load()
        with contextlib.suppress(OSError):
            for path in service_folder(_FOLDER).iterdir():
                process = Process.parse(path.name)
                if process.pid == os.getpid():
                    continue
                if not process.alive:
                    path.unlink(missing_ok=True)
                    continue
                with contextlib.suppress(ValueError, TypeError):  # it is just being written
                    yield Load(process.pid, *json.loads(path.read_bytes()))

    def all_full_for(self) -> float:
        """Return for how many seconds all threads of all members have been busy; 0 where one is free."""
        now = time.monotonic()
        by_pid = {load.pid: load.full_for(now) for load in self.family()}
        members = {process.pid for process in family().workers()} or {os.getpid()}
        return min((by_pid.get(pid, 0.0) for pid in members), default=0.0)

    def backlog(self) -> int | None:
        """Return how many connections wait to be accepted, by the kernel; None where that is not known."""
        waiting = []
        for listener in self.listeners:
            with contextlib.suppress(OSError, AttributeError):
                info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
                waiting.append(int.from_bytes(info[_WAITING], sys.byteorder))
        return sum(waiting) if waiting else None

    def at_exit(self) -> None:
        """Remove this process's file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def tell(self) -> None:
        """Write down how this process is, for the others: at once when it becomes full, now and then else."""
        # Of threads that come and go at once, who looked last is right; and who ends meanwhile looks, too.
        turn = next(self._turns)
        if self._full_since is None:
            self._full_since = time.monotonic()
        known = self.count
        begun = sorted(self._begun.copy().values(), key=lambda one: one[0])
        full = known is not None and len(begun) >= known
        text = ", ".join(map(_shown, (request for _, request in begun)))[:_TEXT] if full else ""
        if self._file is None:
            with contextlib.suppress(OSError):
                self._path = service_folder(_FOLDER) / this_process().name
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                at_exit(self)
        with self._lock:
            if turn < self._told:
                return
            self._told = turn
            # Since the youngest of them began, no thread has been free.
            self._full_since, self._text = begun[-1][0] if full else None, text
            if self._file is not None:
                with contextlib.suppress(OSError):  # the disk is full
                    row = json.dumps([known, len(begun), self._full_since, text], ensure_ascii=False)
                    os.pwrite(self._file, row.encode("utf-8", "replace").ljust(_FILE), 0)


def _shown(request: Any) -> str:
    environ = request.environ
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))[:200]
    path = path.encode("latin-1", "replace").decode("utf-8", "replace")  # WSGI hands paths over as latin-1 (PEP 3333)
    request_id = getattr(request, "c2c_request_id", None)
    text = f"{environ.get('REQUEST_METHOD', '')} {path}" + (f" (id {request_id})" if request_id else "")
    return mask("".join(letter if letter.isprintable() else "?" for letter in text))


request_threads = RequestThreads()
"""Of the process, as threads are."""


def queue_time(began: str, now: float) -> float | None:
    """Return the seconds since ``X-Request-Start``: seconds, milli- or microseconds since the epoch, ``t=`` before it.

    None where it is no time, or one that can't be.
    """
    try:
        start = float(began[:40].strip().removeprefix("t="))
    except ValueError:
        return None
    for _ in range(2):
        if start > now * 100:
            start /= 1_000
    waited = now - start
    return max(waited, 0.0) if -1.0 < waited < _LONGEST_QUEUE else None
