"""The file of this process: a fixed row a thread, written without a lock, readable while the process stands still.

A row has three parts. Each is written by one call, between two copies of a number that grows; who reads it twice, and
finds the same number in four places, has read what was written at once.
"""

import logging
import mmap
import os
import struct
import sys
import threading
import weakref
from collections import deque
from dataclasses import dataclass
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
_OWNER = struct.Struct("=BxxxxxxxQ")  # 1 where something goes on, else 0; the thread
_BEGUN = struct.Struct("=Qd400sQ")  # when; method, client, id, path (which alone may hold one) between zero bytes
_ROUTE = struct.Struct("=Q160sQ")  # route, id
_PHASE = struct.Struct("=QdIB336sQ")  # since when; the database's process, the phase, its text
_BEGUN_AT = _OWNER.size
_ROUTE_AT = _BEGUN_AT + _BEGUN.size
_PHASE_AT = _ROUTE_AT + _ROUTE.size
assert _PHASE_AT + _PHASE.size <= _SIZE  # of constants
_PARTS = (_BEGUN_AT, _ROUTE_AT, _PHASE_AT)
_ALL = struct.Struct("=" + "".join(part.format[1:] for part in (_BEGUN, _ROUTE, _PHASE)))
_TRIES = 5

_pack_all, _pack_route, _pack_phase = _ALL.pack_into, _ROUTE.pack_into, _PHASE.pack_into


class Row:
    """A thread's row, which nobody else writes. ``base`` is the phase that others interrupt; 0: nothing goes on."""

    __slots__ = (
        "__weakref__",
        "_at",
        "_begun",
        "_index",
        "_number",
        "_table",
        "base",
        "buffer",
        "connection",
        "environ",
    )

    def __init__(self, table: "Table", index: int) -> None:
        self._table = table
        self._index = index
        self.buffer = table.buffer
        self._at = index * _SIZE
        # More than any that an earlier thread wrote here: who reads knows what is new by it.
        self._begun = self._number = max(_number(self.buffer, self._at + start) for start in _PARTS)
        self.base = NOTHING
        self.environ: dict[str, Any] | None = None
        self.connection: Any = None
        _OWNER.pack_into(self.buffer, self._at, 0, threading.get_ident())

    def begin(self, text: str, environ: dict[str, Any] | None = None) -> int:
        """Begin a request, that of an environ, or other work; return its number, for ``end``."""
        number = self._begun = self._number = self._number + 1
        now = monotonic()
        begun = (number, now, text.encode("utf-8", "replace"), number)
        _pack_all(self.buffer, self._at + _BEGUN_AT, *begun, number, b"", number, number, now, 0, VIEW, b"", number)
        self.buffer[self._at] = 1
        self.environ = environ
        self.base = VIEW
        return number

    def end(self, begun: int) -> None:
        """End what has this number, unless something newer has begun."""
        if begun == self._begun:
            self.buffer[self._at] = 0
            self.base = NOTHING
            self.environ = self.connection = None

    def route(self, text: bytes) -> None:
        """Say route and id, which are not known from the beginning."""
        number = self._number = self._number + 1
        _pack_route(self.buffer, self._at + _ROUTE_AT, number, text, number)

    def enter(self, phase: int, text: bytes = b"", backend: int = 0) -> None:
        """Say what is waited for; ``leave`` says that it is over."""
        number = self._number = self._number + 1
        _pack_phase(self.buffer, self._at + _PHASE_AT, number, monotonic(), backend, phase, text, number)

    def leave(self) -> None:
        """Go back to the phase that was interrupted."""
        number = self._number = self._number + 1
        _pack_phase(self.buffer, self._at + _PHASE_AT, number, monotonic(), 0, self.base, b"", number)

    def turn(self, phase: int) -> None:
        """Go on to another phase."""
        self.base = phase
        self.leave()

    def __del__(self) -> None:
        # The thread, or greenlet, has ended. In a forked child those of other threads end, too: they are the parent's.
        if self._table.pid == os.getpid() and self.buffer is self._table.buffer:
            self.buffer[self._at] = 0
            self._table.free.append(self._index)


class Table:
    """The rows of this process. Its file is made by the first that needs a row, so in the process that it tells of."""

    def __init__(self) -> None:
        self.pid = 0
        self.buffer: Any = None
        self.free: deque[int] = deque()
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._local: Any = None
        self._rows: dict[int, weakref.ref[Row]] = {}

    def after_fork(self) -> None:
        """Begin anew in the child: what the parent does is the parent's to tell, in its own file."""
        for reference in self._rows.values():
            row = reference()
            if row is not None:
                row.buffer = bytearray(ROWS * _SIZE)
                row.base = NOTHING
        Table.__init__(self)

    def current(self) -> Row | None:
        """Return the row of this thread where something goes on in it."""
        try:
            row: Row = self._local.row
        except AttributeError:
            return None
        return row if row.base else None

    def row(self) -> Row | None:
        """Return the row of this thread, None where there is none to be had."""
        try:
            row: Row = self._local.row
        except AttributeError:
            return self._new_row()
        return row

    def open(self) -> bool:
        """Make the file, where that is not done; tell whether it was done now. Where it can't be made, it is said."""
        if self.pid:
            return False
        failure = None
        with self._lock:
            if self._local is not None:  # another thread was faster
                return False
            try:
                path = running_folder() / f"{family().name}-{this_process().name}"
                self.buffer, self._path = _made(path), path
            except OSError as error:
                failure = error
            self.free.extend(range(ROWS if failure is None else 0))
            # Looked up here: gevent may have patched it since the import.
            self._local = threading.local()
            self.pid = os.getpid()
        if failure is not None:
            _LOG.warning("Requests in flight can't be shown, nor those that are lost: %s", failure)
        else:
            at_fork(self)
            at_exit(self)
        return True

    def at_exit(self) -> None:
        """Remove the file, unless something goes on: then whoever finds the file says that it is lost."""
        path, self._path = self._path, None
        if path is not None and not any(self.buffer[at] for at in range(0, ROWS * _SIZE, _SIZE)):
            path.unlink(missing_ok=True)

    def _new_row(self) -> Row | None:
        if not self.pid:
            self.open()
        try:
            index = self.free.popleft()
        except IndexError:
            return None
        row = self._local.row = Row(self, index)
        self._rows[index] = weakref.ref(row)
        return row


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
    path.unlink(missing_ok=True)  # this process made it before an exec
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # All of it is taken now: where shared memory is full, writing to what is not there would end the process.
        os.posix_fallocate(file, 0, ROWS * _SIZE)
        return mmap.mmap(file, ROWS * _SIZE)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a thread does. Times are of ``time.monotonic()``; ``whole`` is false where it was cut short."""

    thread: int
    begun: float
    since: float
    method: str
    path: str
    client: str
    id: str
    route: str
    phase: str
    text: str
    backend: int
    whole: bool


def read(path: Path) -> list[Running]:
    """Return what goes on by the file of a process, living, stopped or dead.

    Raises:
        OSError: The file can't be read, or is no more.
    """
    with path.open("rb") as file:
        first = file.read()
        for _ in range(_TRIES):
            file.seek(0)
            second = file.read()
            found = [
                _running(first, at, second)
                for at in range(0, min(len(first), len(second)) - _SIZE + 1, _SIZE)
                if first[at]
            ]
            if all(one.whole for one in found):
                break
            first = second
    return found


def _running(first: bytes, at: int, second: bytes) -> Running:
    (begun_number, begun, text, begun_end) = _BEGUN.unpack_from(first, at + _BEGUN_AT)
    (route_number, route_text, route_end) = _ROUTE.unpack_from(first, at + _ROUTE_AT)
    (phase_number, since, backend, phase, phase_text, phase_end) = _PHASE.unpack_from(first, at + _PHASE_AT)
    numbers = [begun_number, route_number, phase_number]
    whole = numbers == [begun_end, route_end, phase_end] == [_number(second, at + start) for start in _PARTS]
    method, client, header_id, path = _texts(text, 4)
    route, request_id = _texts(route_text, 2)
    return Running(
        thread=_OWNER.unpack_from(first, at)[1],
        begun=begun,
        since=since,
        method=method,
        path=path,
        client=client,
        id=request_id or header_id,
        route=route,
        phase=NAMES[phase] if phase < len(NAMES) else "",
        text=_texts(phase_text, 1)[0],
        backend=backend,
        whole=whole,
    )


def _texts(data: bytes, count: int) -> list[str]:
    found = data.rstrip(b"\0").decode("utf-8", "replace").split("\0", count - 1)
    return [one.replace("\0", "?") for one in found] + [""] * (count - len(found))


def _number(data: Any, at: int) -> int:
    return int.from_bytes(data[at : at + 8], sys.byteorder)
