"""Where lines go: a stream that nobody who logs ever waits for, and complaints about those that can't be written.

A line is written before the call returns, so that a crash loses none. Pipes and terminals are opened once more by
``/proc/self/fd``, without blocking: the description is our own, so what others write there blocks as before. Only while
the reader is behind do lines wait, in order, in a bounded queue that a thread empties. Where the pipe can't be opened
again (another user's) each line takes that way; a stream socket (systemd's journal) is asked first for room.
"""

import fcntl
import io
import logging
import os
import select
import stat
import sys
import termios
import time
import weakref
from typing import Any, Final

from c2c_logging._queue import Behind, Queue

_LOG = logging.getLogger("c2c_logging")
_PATIENCE: Final = 1.0  # seconds that a long line waits for room for all of it
_SLOT: Final = 4096  # pipe(7): a pipe is full of pages, and a write of so many bytes (PIPE_BUF) is not torn
_PIPE: Final = 65_536


class Output(Queue[bytes]):
    """One pipe, terminal or socket, shared by all handlers of this process that write to it."""

    size, batch, wait, at_end = 16_000_000, 1, 0.0, 2.0

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
                sys.__stderr__.flush()
        except (OSError, ValueError):
            pass  # nobody is there to be told
