"""Sending what is logged: a bounded queue and the thread that empties it, and streams that nobody who logs waits for.

The thread starts with the first item that waits, in the process that puts it in: what is built before a fork works
after. ``logging.shutdown`` and ``dictConfig`` call ``flush`` and ``close`` of handlers while locks are held that the
thread needs as soon as anything in it logs: nobody waits while ``logging``'s own is held; what is queued then is
written by the thread, before the process ends.

A line to a stream is written before the call returns, so that a crash loses none. Pipes and terminals are opened once
more by ``/proc/self/fd``, without blocking: the description is our own, so what others write there blocks as before.
Only while the reader is behind do lines wait, in order, in a bounded queue that a thread empties. Where the pipe can't
be opened again (another user's) each line takes that way; a stream socket (systemd's journal) is asked first for room.
"""

import fcntl
import functools
import io
import logging
import math
import os
import select
import stat
import sys
import termios
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from c2c_broadcast.process import Worker, at_exit, at_fork

_T = TypeVar("_T")
_A_LITTLE = 1.0  # seconds for what the thread is doing when its time is over


class Behind(NamedTuple):
    """A reader of log lines that is behind: since when (seconds), how many lines wait, how many were dropped."""

    seconds: float
    lines: int
    dropped: int


class Queue(ABC, Generic[_T]):
    """Gives what is put in, in order, to ``consume`` on a thread of its own; the oldest go where there are too many."""

    items, size = 10_000, 32_000_000  # how many of them, and of their bytes, it holds
    batch, wait = 100, 1.0  # how many are consumed at once, or those of how many seconds
    at_end = 5.0  # seconds that it has at the end of the process
    is_away = False  # whether what it writes to could not be reached when last tried: nobody waits for that at the end

    def __init__(self, name: str) -> None:
        self.after_fork()
        self._worker = Worker(name, self._work)
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew in the child: what is queued is the parent's to write."""
        self._lock = threading.RLock()  # a finalizer may log while we hold it
        self._changed = threading.Condition(self._lock)  # entering it takes twice as long as entering its lock
        self._items: deque[tuple[_T, int]] = deque()
        self._size = 0
        self._held = 0  # by the thread
        self._since = self._due = 0.0
        self._came = self._went = self._dropped = 0
        self._wanted = 0  # how many of those that came somebody waits for
        self._stuck_at: int | None = None
        self._end_by = math.inf

    @abstractmethod
    def consume(self, batch: list[_T]) -> int:
        """Deal with a batch; return how many of it are lost. One that fails may try again until it ``is_late``."""

    def at_once(self, item: _T) -> _T | None:
        """Deal with an item before which nothing waits, where it comes, under the lock; return what is left of it."""
        return item

    def over(self) -> None:
        """Do what is to do when the thread ends."""

    def full(self) -> None:
        """Say that the oldest items are dropped."""

    def dropped(self, count: int) -> None:
        """Say how many items were dropped or lost: once nothing waits any more."""

    def put(self, item: _T, size: int) -> None:
        """Queue an item of about ``size`` bytes; where there is no room the oldest is dropped, and counted."""
        with self._lock:
            if self._went == self._came:
                left = self.at_once(item)
                if left is None:
                    return
                item, self._since = left, time.monotonic()
            if not self._items:
                self._due = time.monotonic() + self.wait
            self._items.append((item, size))
            self._size += size
            self._came += 1
            before = self._dropped
            while self._items and (len(self._items) + self._held > self.items or self._size > self.size):
                self._size -= self._items.popleft()[1]
                self._dropped += 1
                self._went += 1
            full, wake = self._dropped > before, len(self._items) in (1, self.batch)
        if full:
            self.full()
        if wake:
            self._wake()

    def _wake(self) -> None:
        if not self._worker.running:
            self._end_by = math.inf
            at_exit(self)
            _ENDING.add(self)
            for name in ("execv", "execve"):  # all others of os end in these two
                function = getattr(os, name)
                if not hasattr(function, "__wrapped__"):
                    setattr(os, name, _after_the_end(function))
        if not self._worker.wake():
            # At the interpreter's end, or where the system gives no more threads: written here, without patience.
            self._end_by = -math.inf
            self._work()

    @property
    def behind(self) -> Behind | None:
        """Tell how far the thread is behind; None where nothing waits."""
        with self._lock:
            if self._went == self._came:
                return None
            return Behind(time.monotonic() - self._since, len(self._items) + self._held, self._dropped)

    def flush(self) -> bool:
        """Wait until all that is queued now is dealt with; False where that takes longer than ``at_end``.

        Nobody waits for what is away, holding logging's lock, or again for a reader that took nothing since.
        """
        with self._lock:
            if self._went == self._came or self._worker.is_own_thread:
                return True
            self._wanted = self._came
        self._wake()
        waits = not (self.is_away or holds_logging())
        with self._changed:
            waits = waits and self._stuck_at != self._went
            done = self._changed.wait_for(lambda: self._went >= self._wanted, self.at_end if waits else 0)
            if waits and not done:
                self._stuck_at = self._went
        return done

    def at_exit(self) -> None:
        """Have all written at the end of the process."""
        self.flush()

    def close(self) -> bool:
        """End the thread when all that is queued is dealt with, or ``at_end`` is over; wait as ``flush`` does.

        Records of a server that is away get one more try.
        """
        limit = 0 if self.is_away else self.at_end
        self._end_by = time.monotonic() + limit
        if not self._worker.running:
            self.over()
        return self._worker.close(0 if holds_logging() else limit + _A_LITTLE)

    @property
    def is_late(self) -> bool:
        """Whether there is no time to try again."""
        return time.monotonic() >= self._end_by

    def _work(self) -> float | None:
        """Consume what is due; on the thread."""
        while True:
            with self._lock:
                wait = self._due - time.monotonic()
                asked = self._went < self._wanted or self._worker.closing or self.is_late
                if self._items and len(self._items) < self.batch and wait > 0 and not asked:
                    return wait
                batch = [self._items.popleft() for _ in range(min(self.batch, len(self._items)))]
                self._held = len(batch)
            if not batch:
                break
            try:
                lost = self.consume([item for item, _ in batch])
            except Exception:  # noqa: BLE001 # the boundary of the thread: the next batch has its chance
                lost = len(batch)
            with self._lock:
                self._dropped += lost
                waits = self._items or (self.is_away and not self._worker.closing)
                dropped = 0 if waits else self._dropped
                self._dropped -= dropped
            if dropped:
                self.dropped(dropped)
            with self._lock:
                if dropped:
                    self._wanted = self._came  # who waits for all waits for what says how many were dropped, too
                self._size -= sum(size for _, size in batch)
                self._held = 0
                self._went += len(batch)
                self._changed.notify_all()
        if self._worker.closing:
            self.over()
        return None


def holds_logging() -> bool:
    """Tell whether this thread holds logging's own lock, as ``dictConfig`` does; True where that can't be told."""
    owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return owned is None or bool(owned())


_ENDING: "weakref.WeakSet[Queue[Any]]" = weakref.WeakSet()


def _after_the_end(function: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    # There is no atexit for a new program, and an audit hook would be called by each id() and sys._getframe().
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> NoReturn:
        for queue in list(_ENDING):
            queue.flush()
        function(*args, **kwargs)

    return run


_LOG = logging.getLogger("c2c_logging")
_PATIENCE: Final = 1.0  # seconds that a long line waits for room for all of it
_SLOT: Final = 4096  # pipe(7): a pipe is full of pages, and a write of so many bytes (PIPE_BUF) is not torn
_PIPE: Final = 65_536


class Output(Queue[bytes]):
    """One pipe, terminal or socket, shared by all handlers of this process that write to it."""

    size, batch, at_end = 16_000_000, 1, 2.0

    def __init__(self, fd: int, *, direct: bool, asks: bool = False) -> None:
        self._fd = fd
        self._direct = direct
        self._room = watch(fd, select.POLLOUT) if asks else None
        self._complaint = Complaint("log lines can't be written")
        super().__init__("c2c-logging-output")
        weakref.finalize(self, os.close, fd)

    def after_fork(self) -> None:
        """Leave to the parent what it began to write."""
        super().after_fork()
        self._rest = b""

    def at_once(self, item: bytes) -> bytes | None:
        """Write what the reader takes; a rest is kept apart, for no part of a line may be dropped."""
        if not self._direct:
            return item
        done = self._try(item) if len(item) <= _SLOT or self._has_room(len(item)) else 0
        if done == len(item):
            return None
        self._rest = item[done:] if done else b""
        return b"" if done else item

    def consume(self, batch: list[bytes]) -> int:
        """Write a line as the reader takes it."""
        (line,) = batch
        patience = time.monotonic() + _PATIENCE
        watched = watch(self._fd, select.POLLOUT)  # of this thread alone
        while self._rest or line:
            watched.poll(0 if self.is_late else 1000)
            if not self._rest:
                # Lines of other processes would come between the parts of one that does not fit whole.
                if len(line) > _SLOT and time.monotonic() < patience and not self._has_room(len(line)):
                    time.sleep(0.02)
                    continue
                self._rest, line = line, b""
            try:
                # One that was not opened again may block, here alone, when another process takes its room.
                done = self._try(self._rest if self._direct else self._rest[:_SLOT])
                if not done and self.is_late:
                    raise BlockingIOError("its reader is behind")
            except OSError as error:
                self._rest = line = b""
                self._complaint.wrong(f"{error.strerror or error}: what waits is lost")
            else:
                self._rest = self._rest[done:]
                patience = time.monotonic() + _PATIENCE if done else patience
        return 0

    def _try(self, data: bytes) -> int:
        if self._room is not None and not self._room.poll(0):
            return 0
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0

    def _has_room(self, size: int) -> bool:
        """Tell whether a long line fits whole."""
        try:
            held = int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)
        except OSError:
            return True
        # Two pages next to each other hold more than one page's bytes, or they would be one.
        return 2 * (held // _SLOT) + 2 + -(-size // _SLOT) <= _PIPE // _SLOT

    def dropped(self, count: int) -> None:
        """Say so in the log itself."""
        _LOG.warning("%s log lines were dropped: their reader was behind", count)


def watch(what: Any, event: int) -> select.poll:
    """Return what waits for an event of a descriptor or socket."""
    watched = select.poll()
    watched.register(what, event)
    return watched


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
    if output is None and kind == stat.S_IFSOCK:
        output = Output(os.dup(fd), direct=True, asks=True)
    elif output is None:
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            output = Output(os.open(f"/proc/self/fd/{fd}", flags), direct=True)
        except OSError:
            output = Output(os.dup(fd), direct=False)
    _OUTPUTS[key] = output
    return output


class Complaint:
    """Says of ``what`` that it can't be written to, without logging: once a change, one line, on standard error."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.is_wrong = False
        self._output: Output | None = None  # kept, for outputs are shared and held weakly

    def wrong(self, why: str) -> None:
        """Say what is wrong, unless that is known."""
        if not self.is_wrong:
            self.is_wrong = True
            self.note(why)

    def right(self) -> None:
        """Say that it works again, if it did not."""
        if self.is_wrong:
            self.is_wrong = False
            self.note("works again")

    def note(self, text: str) -> None:
        """Say something, known or not."""
        line = f"c2c_logging: {self.what}: {text}".replace("\n", " ") + "\n"
        try:
            self._output = output_of(sys.__stderr__)
            if self._output is not None:
                self._output.put(line.encode("utf-8", "backslashreplace"), len(line))
            elif sys.__stderr__ is not None:
                sys.__stderr__.write(line)
        except (OSError, ValueError):
            pass  # nobody is there to be told
