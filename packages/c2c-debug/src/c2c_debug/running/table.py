"""The file of this process: a fixed row a thread, written without a lock, readable while the process stands still.

Who reads a row twice, and finds the same, has read what was written at once.
"""

import logging
import mmap
import os
import struct
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from c2c_broadcast.process import at_exit, at_fork, family, service_folder, this_process

_LOG = logging.getLogger(__name__)

NOTHING, VIEW, SQL, HTTP, REDIS, RENDER, BODY, POOL = range(8)
NAMES = ("", "view", "sql", "http", "redis", "render", "body", "pool")

ROWS = 256
"""Threads that have a row; what more of them do is not shown."""

_SIZE = 1024
# Times are of CLOCK_MONOTONIC, which all processes of a host share.
_PHASE = struct.Struct("=BxxxId336s")  # the phase, 0 where nothing goes on; the database's process, since when, text
_ROUTE = struct.Struct("=160s")  # route and id, a zero byte between them
# The thread; since when; method, client, id, path (which alone may hold one) between zero bytes.
_ROW = struct.Struct(f"{_PHASE.format}{_ROUTE.format[1:]}Qd400s")
_TRIES = 5

_pack_row, _pack_route, _pack_phase = _ROW.pack_into, _ROUTE.pack_into, _PHASE.pack_into


class _File:
    """What rows are written to: the process' file, or memory that nobody reads. ``free`` are the rows to be had."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.buffer: Any = bytearray(ROWS * _SIZE)
        self.free = deque(range(ROWS))


class Row:
    """A thread's row, which nobody else writes. ``base`` is the phase that others interrupt; 0: nothing goes on."""

    __slots__ = ("_at", "_begun", "_file", "_thread", "base", "connection", "environ")

    def __init__(self, file: _File, index: int) -> None:
        self._file = file
        self._at = index * _SIZE
        self._thread = threading.get_ident()
        self.base = NOTHING
        self.environ: dict[str, Any] | None = None
        self.connection: Any = None

    def begin(self, text: str, environ: dict[str, Any] | None = None) -> float:
        """Begin a request, that of an environ, or other work; return what ``end`` wants."""
        now = self._begun = monotonic()
        said = text.encode("utf-8", "replace")
        _pack_row(self._file.buffer, self._at, VIEW, 0, now, b"", b"", self._thread, now, said)
        self.environ = environ
        self.base = VIEW
        return now

    def end(self, begun: float) -> None:
        """End what has begun then, unless something newer has."""
        if begun == self._begun:
            self._file.buffer[self._at] = NOTHING
            self.base = NOTHING
            self.environ = self.connection = None

    def route(self, text: bytes) -> None:
        """Say route and id, which are not known from the beginning."""
        _pack_route(self._file.buffer, self._at + _PHASE.size, text)

    def enter(self, phase: int, text: bytes = b"", backend: int = 0) -> None:
        """Say what is waited for; ``leave`` says that it is over."""
        _pack_phase(self._file.buffer, self._at, phase, backend, monotonic(), text)

    def leave(self) -> None:
        """Go back to the phase that was interrupted."""
        _pack_phase(self._file.buffer, self._at, self.base, 0, monotonic(), b"")

    def turn(self, phase: int) -> None:
        """Go on to another phase."""
        self.base = phase
        _pack_phase(self._file.buffer, self._at, phase, 0, monotonic(), b"")

    def __del__(self) -> None:
        # The thread, or greenlet, has ended. In a forked child those of other threads end, too: they are the parent's.
        if self._file.pid == os.getpid():
            self._file.buffer[self._at] = NOTHING
            self._file.free.append(self._at // _SIZE)


class Table:
    """The rows of this process. Its file is made by the first that needs a row, so in the process that it tells of."""

    def __init__(self) -> None:
        self.pid = 0
        self._file: Any = None
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._local: Any = None

    def after_fork(self) -> None:
        """Begin anew in the child: what the parent does is the parent's to tell, in its own file."""
        if self._file is not None:
            self._file.buffer = bytearray(ROWS * _SIZE)
        Table.__init__(self)

    def current(self) -> Row | None:
        """Return the row of this thread where something goes on in it."""
        row: Row | None = getattr(self._local, "row", None)
        return row if row is not None and row.base else None

    def row(self) -> Row | None:
        """Return the row of this thread, None where there is none to be had."""
        row: Row | None = getattr(self._local, "row", None)
        if row is None:
            self.open()
            with suppress(IndexError):
                row = self._local.row = Row(self._file, self._file.free.popleft())
        return row

    def open(self) -> bool:
        """Make the file, where that is not done; tell whether it was done now. Where it can't be made, it is said."""
        if self.pid:
            return False
        at_fork(self)  # before the lock, which another thread may hold at a fork
        failure = None
        with self._lock:
            if self._local is not None:  # another thread was faster
                return False
            self._file = _File()
            try:
                self._path = running_folder() / f"{family().name}-{this_process().name}"
                self._file.buffer = _made(self._path)
            except OSError as error:
                failure = error
            # Looked up here: gevent may have patched it since the import.
            self._local = threading.local()
            self.pid = self._file.pid
        at_exit(self)
        if failure is not None:
            _LOG.warning("Requests in flight can't be shown, nor those that are lost: %s", failure)
        return True

    def at_exit(self) -> None:
        """Remove the file, unless something goes on: then whoever finds the file says that it is lost."""
        path, self._path = self._path, None
        if path is None:
            return
        buffer = self._file.buffer
        if isinstance(buffer, bytearray) or not any(buffer[::_SIZE]):
            path.unlink(missing_ok=True)


TABLE = Table()
"""This process's."""


def running_folder() -> Path:
    """Return the folder of the files, beside those of this user's families: a file may outlive its family.

    Raises:
        OSError: It can't be had.
    """
    folder = service_folder(".").parent / "running"
    folder.mkdir(0o700, exist_ok=True)
    return folder


def _made(path: Path) -> mmap.mmap:
    """Make the file; where there is no room for it, an empty one says that this process can't be shown."""
    path.unlink(missing_ok=True)  # this process made it before an exec
    path.touch(0o600, exist_ok=False)
    try:
        # All of it is taken now: where shared memory is full, writing to what is not there would end the process.
        path.write_bytes(bytes(ROWS * _SIZE))
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), ROWS * _SIZE)
    except OSError:
        os.truncate(path, 0)
        raise


def read(path: Path, until: float | None = None) -> list[dict[str, Any]]:
    """Return what goes on by the file of a process, living, stopped or dead: all but its ``hostname`` and ``pid``.

    ``until`` is when, by ``time.monotonic()``; None stands for the last time that anybody wrote.

    Raises:
        OSError: The file can't be read, or is no more.
    """
    with path.open("rb") as file:
        data = file.read()
        for _ in range(_TRIES):
            before = data
            file.seek(0)
            data = file.read()
            places = [at for at in range(0, len(data), _SIZE) if data[at]]
            if all(data[at : at + _SIZE] == before[at : at + _SIZE] for at in places):
                break
    rows = [_ROW.unpack_from(data, at) for at in places]
    last = max((since for _, _, since, *_ in rows), default=0.0) if until is None else until
    return [_shown(row, last) for row in rows]


def _shown(row: tuple[Any, ...], last: float) -> dict[str, Any]:
    phase, backend, since, text, route, thread, begun, said = row
    method, client, header_id, path = _texts(said, 4)
    name, request_id = _texts(route, 2)
    return {
        "thread": thread,
        "method": method,
        "path": path,
        "route": name or None,
        "id": request_id or header_id or None,
        "client": client or None,
        "seconds": round(max(last - begun, 0), 3),
        "phase": NAMES[phase],
        "phase_seconds": round(max(last - since, 0), 3),
        "text": _texts(text, 1)[0] or None,
        "backend_pid": backend or None,
    }


def _texts(data: bytes, count: int) -> list[str]:
    found = data.rstrip(b"\0").decode("utf-8", "replace").split("\0", count - 1)
    return [one.replace("\0", "?") for one in found] + [""] * (count - len(found))
