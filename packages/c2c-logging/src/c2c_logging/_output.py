"""Where lines go: a stream that nobody who logs ever waits for, and complaints about those that can't be written.

A line is written before the call returns, so that a crash loses none. Pipes and terminals are opened once more by
``/proc/self/fd``, without blocking: the description is our own, so what others write there blocks as before. Only while
the reader is behind do lines wait, in order, in a bounded queue that a thread empties. Where the pipe can't be opened
again (another user's) each line takes that way; of a stream socket (systemd's journal) it is asked first whether it has
room. Files, and streams that are no files at all, are written to as ever.
"""

import array
import fcntl
import functools
import io
import logging
import os
import select
import stat
import sys
import termios
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from c2c_broadcast.process import Worker, at_exit, at_fork
from c2c_logging._values import safe, text_of

LINES: Final = 10_000
BYTES: Final = 16_000_000
_AT_END: Final = 2.0
_PATIENCE: Final = 1.0  # seconds that a long line waits for room for all of it
_SLOT: Final = 4096  # pipe(7): a pipe is full of pages, and a write of so many bytes (PIPE_BUF) is not torn
_PIPE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Behind:
    """A reader of log lines that is behind: since when (seconds), how many lines wait, how many were dropped."""

    seconds: float
    lines: int
    dropped: int


class Output:
    """One pipe, terminal or socket, shared by all handlers of this process that write to it."""

    def __init__(self, fd: int, *, direct: bool, asks: bool = False) -> None:
        self._fd = fd
        self._direct = direct
        self._room = select.poll() if asks else None
        if self._room is not None:
            self._room.register(fd, select.POLLOUT)
        # Gives a line that says something, in the form of the lines of who writes here.
        self.notice: Callable[[str], bytes] = lambda text: f"{text}\n".encode()
        self._worker = Worker("c2c-logging-output", self._work)
        self.after_fork()
        at_fork(self)
        weakref.finalize(self, os.close, fd)

    def after_fork(self) -> None:
        """Begin anew in the child: what waits is the parent's to write."""
        self._lock = threading.RLock()  # a finalizer may log while we hold it
        self._waiting: deque[bytes] = deque()
        self._rest = b""
        self._size = 0
        self._dropped = 0
        self._since: float | None = None
        self._written = 0
        self._stuck_at = -1
        self._empty = threading.Event()
        self._ends_here = False

    def write(self, data: bytes) -> None:
        """Write a line, or keep it while the reader is behind; never waits.

        Raises:
            OSError: It can't be written, not even later.
        """
        with self._lock:
            if self._since is None and self._direct:
                done = self._try(data) if len(data) <= _SLOT or self._has_room(len(data)) else 0
                if done == len(data):
                    return
                self._rest = data[done:] if done else b""
                data = b"" if done else data
            self._keep(data)
            wake = self._since is None
            if wake:
                self._since = time.monotonic()
                self._empty.clear()
        if wake:
            if not self._ends_here:
                self._ends_here = True
                at_end(self)
            self._worker.wake()

    def _keep(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            self._size += len(data)
        while len(self._waiting) > LINES or self._size > BYTES:
            self._size -= len(self._waiting.popleft())
            self._dropped += 1

    def _try(self, data: bytes) -> int:
        if self._room is not None and not self._room.poll(0):
            return 0
        try:
            done = os.write(self._fd, data)
        except BlockingIOError:
            return 0
        self._written += done
        return done

    def _has_room(self, size: int) -> bool:
        """Tell whether a long line fits whole: else lines of other processes would come between its parts."""
        try:
            held = array.array("i", [0])
            fcntl.ioctl(self._fd, termios.FIONREAD, held)
        except OSError:
            return True
        # Two pages next to each other hold more than one page's bytes, or they would be one.
        return 2 * (held[0] // _SLOT) + 2 + -(-size // _SLOT) <= _PIPE // _SLOT

    @property
    def behind(self) -> Behind | None:
        """Tell how far the reader is behind; None where it keeps up."""
        with self._lock:
            if self._since is None:
                return None
            return Behind(time.monotonic() - self._since, len(self._waiting), self._dropped)

    def flush(self, timeout: float = _AT_END) -> bool:
        """Wait until no line waits, unless that took too long the last time and nothing was written since."""
        if self._since is None:
            return True
        if self._stuck_at == self._written or self._worker.is_own_thread:
            return False
        if self._empty.wait(timeout):
            return True
        self._stuck_at = self._written
        return False

    def at_exit(self) -> None:
        """Have the reader take what waits, in two seconds."""
        self.flush()

    def _work(self) -> float | None:
        """Write what waits; on the thread."""
        patience = time.monotonic() + _PATIENCE
        while True:
            watched = select.poll()
            watched.register(self._fd, select.POLLOUT)
            watched.poll(1000)
            try:
                if self._advance(late=time.monotonic() > patience):
                    patience = time.monotonic() + _PATIENCE
                else:
                    time.sleep(0.02)  # there is room, and not for all of a long line
            except OSError as error:
                self._give_up(error)
            if self._done():
                if self._direct:
                    self._worker.close()  # called by its own thread: it ends when this returns
                return None

    def _advance(self, *, late: bool) -> bool:
        with self._lock:
            rest = self._rest
            if not rest and self._waiting:
                rest = self._waiting[0]
                if len(rest) > _SLOT and not late and not self._has_room(len(rest)):
                    return False
                self._size -= len(self._waiting.popleft())
                self._rest = rest
        # One that was not opened again may block, here alone, when another process takes its room.
        done = self._try(rest if self._direct else rest[:_SLOT]) if rest else 0
        with self._lock:
            self._rest = rest[done:]
        return bool(done)

    def _done(self) -> bool:
        """Tell whether nothing waits; what was dropped is said before."""
        with self._lock:
            if self._rest or self._waiting:
                return False
            dropped, self._dropped = self._dropped, 0
            if not dropped:
                self._since = None
                self._empty.set()
                return True
        line = self.notice(f"{dropped} log lines were dropped: their reader was behind")
        with self._lock:
            self._waiting.appendleft(line)
            self._size += len(line)
        return False

    def _give_up(self, error: OSError) -> None:
        with self._lock:
            lost = len(self._waiting) + bool(self._rest) + self._dropped
            self._waiting.clear()
            self._rest = b""
            self._size = self._dropped = 0
        Complaint("log lines can't be written").wrong(f"{error.strerror}: {lost} lines are lost")


_OUTPUTS: weakref.WeakValueDictionary[tuple[int, int], Output] = weakref.WeakValueDictionary()


def readers_behind() -> list[Behind]:
    """Return the readers of this process's log lines that are behind now: empty where all keep up."""
    return [behind for output in list(_OUTPUTS.values()) if (behind := output.behind) is not None]


def output_of(stream: Any) -> Output | None:
    """Return the output of a stream; None for one that is written to as ever: a file, or no file at all."""
    if type(stream) is not io.TextIOWrapper:
        return None
    if not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        return None  # gzip's and others' have a number too, of what they write to
    fd = stream.fileno()
    found = os.fstat(fd)
    kind = stat.S_IFMT(found.st_mode)
    if kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR):
        return None
    key = (found.st_dev, found.st_ino)
    output = _OUTPUTS.get(key)
    if output is None:
        output = _OUTPUTS[key] = _open(fd, kind)
    return output


def _open(fd: int, kind: int) -> Output:
    if kind == stat.S_IFSOCK:
        return Output(os.dup(fd), direct=True, asks=True)
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        return Output(os.open(f"/proc/self/fd/{fd}", flags), direct=True)
    except OSError:
        return Output(os.dup(fd), direct=False)


def holds_logging() -> bool:
    """Tell whether this thread holds logging's own lock, as ``dictConfig`` does; True where that can't be told."""
    owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return owned is None or bool(owned())


class _Ending(Protocol):
    def at_exit(self) -> None: ...


_ENDING: weakref.WeakSet[_Ending] = weakref.WeakSet()


def at_end(owner: _Ending) -> None:
    """Call ``owner.at_exit()`` when this process ends, or becomes another program by ``os.execv`` or its kin."""
    at_exit(owner)
    _ENDING.add(owner)
    for name in ("execv", "execve"):  # all others of os end in these two
        function = getattr(os, name)
        if not hasattr(function, "__wrapped__"):
            setattr(os, name, _after_the_end(function))


def _after_the_end(function: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    # There is no atexit for a new program, and an audit hook would be called by each id() and sys._getframe().
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> NoReturn:
        for owner in list(_ENDING):
            owner.at_exit()
        function(*args, **kwargs)

    return run


class Complaint:
    """Says that logs can't be written, without logging: once a change, one line, on standard error.

    ``what`` names the thing that the lines are about.
    """

    __slots__ = ("_output", "_said", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self._said = False
        self._output: Output | None = None  # kept, for outputs are shared and held weakly

    @property
    def is_wrong(self) -> bool:
        """Whether something was wrong when it was last tried."""
        return self._said

    def wrong(self, why: str) -> None:
        """Say what is wrong, unless that is known."""
        if not self._said:
            self._said = True
            self.note(why)

    def error(self) -> None:
        """Say what exception is being handled; nothing where ``logging.raiseExceptions`` is false, as in logging."""
        if logging.raiseExceptions:
            error = sys.exc_info()[1]
            self.wrong(f"{type(error).__name__}: {safe(text_of(error))}")

    def note(self, text: str) -> None:
        """Say something, known or not."""
        self._write(f"c2c_logging: {self.what}: {text}")

    def right(self, note: str = "") -> None:
        """Say that it works again, if it did not."""
        if self._said:
            self._said = False
            self.note(f"works again{note}")

    def _write(self, text: str) -> None:
        line = text.replace("\n", " ") + "\n"
        try:
            self._output = output_of(sys.__stderr__)
            if self._output is not None:
                self._output.write(line.encode("utf-8", "backslashreplace"))
            elif sys.__stderr__ is not None:
                sys.__stderr__.write(line)
                sys.__stderr__.flush()
        except (OSError, ValueError):
            pass  # nobody is there to be told
