"""A bounded queue and the thread that empties it: whoever puts something in never waits.

The thread starts with the first item put in, in the process that puts it in: what is built before a fork works after.

``logging.shutdown`` and ``dictConfig`` call ``flush`` and ``close`` of handlers while locks are held that the thread
needs as soon as anything in it logs. So a handler with a queue has no lock that they could hold (``QueueHandler``), and
nobody waits while ``logging``'s own is held: what is queued then is written by the thread, before the process ends.
"""

import atexit
import functools
import logging
import math
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from c2c_logging._complaint import Complaint

_T = TypeVar("_T")
_AT_END = 5.0
_A_LITTLE = 1.0  # for what the thread is doing when its time is over


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a queue holds and how its thread takes it: ``batch`` items at once, or what came in ``wait`` seconds."""

    items: int = 10_000
    size: int = 32_000_000
    batch: int = 100
    wait: float = 1.0


class _Flush:
    """Asks the thread to write what it has; ``done`` is set then. ``last`` ends it."""

    __slots__ = ("done", "last")

    def __init__(self, *, last: bool) -> None:
        self.done = threading.Event()
        self.last = last


class Background(Generic[_T]):
    """Gives what is put in, in order, to ``consume(batch, hurry)`` on a thread of its own.

    ``consume`` returns when the batch is dealt with; while it fails it may try again, as long as ``hurry()`` is false.
    ``is_away`` tells whether it fails now: nobody waits for that at the end. ``at_end`` is called when the thread ends.
    """

    def __init__(
        self,
        name: str,
        consume: Callable[[list[_T], Callable[[], bool]], None],
        bounds: Bounds,
        *,
        is_away: Callable[[], bool] = lambda: False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._consume = consume
        self._bounds = bounds
        self._is_away = is_away
        self._at_end = at_end
        self.dropped = 0
        self._begin()
        _PROCESS.watch(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a finalizer may log while we hold it
        self._items: queue.SimpleQueue[tuple[_T, int] | _Flush] = queue.SimpleQueue()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._end_by = math.inf
        self._held = 0

    def after_fork(self) -> None:
        """Begin anew in the child: what is queued is the parent's to write."""
        self.dropped = 0
        self._begin()

    def put(self, item: _T, size: int) -> bool:
        """Queue an item of about ``size`` bytes; False, and counted, where there is no room."""
        starting = None
        with self._lock:
            if self._items.qsize() + self._held >= self._bounds.items or self._size + size > self._bounds.size:
                self.dropped += 1
                return False
            self._size += size
            self._items.put((item, size))
            if self._thread is None:
                self._end_by = math.inf
                self._thread = starting = threading.Thread(target=self._run, name=self._name, daemon=True)
        if starting is not None:
            self._start(starting)
        return True

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError:
            # At the interpreter's end, or where the system gives no more threads: written here, without patience.
            self._end_by = 0.0
            self._items.put(_Flush(last=True))
            self._run()
        else:
            _PROCESS.flush_at_end()

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs on the queue's thread: what it logs must not come back to it."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float = _AT_END) -> bool:
        """Wait until all that is queued now is dealt with; False where that takes longer than ``timeout`` seconds.

        Nobody waits for a server that is away, nor while this thread holds ``logging``'s lock.
        """
        return self._tell(_Flush(last=False), 0 if self._is_away() else timeout)

    def close(self, timeout: float = _AT_END) -> bool:
        """End the thread when all that is queued is dealt with, in ``timeout`` seconds at most; wait as ``flush`` does.

        Records of a server that is away get one more try.
        """
        timeout = 0 if self._is_away() else timeout
        self._end_by = time.monotonic() + timeout
        return self._tell(_Flush(last=True), timeout + _A_LITTLE)

    def _tell(self, mark: _Flush, timeout: float) -> bool:
        if self.is_own_thread:
            return True
        with self._lock:
            there = self._thread is not None
            if there:
                self._items.put(mark)
        if there:
            return mark.done.wait(0 if _holds_logging() else timeout)
        if mark.last:
            self._at_end()
        return True

    def _is_late(self) -> bool:
        return time.monotonic() >= self._end_by

    def take_dropped(self) -> int:
        """Return how many were dropped since the last time."""
        with self._lock:
            dropped, self.dropped = self.dropped, 0
        return dropped

    def _run(self) -> None:
        while True:
            batch, mark = self._next_batch()
            if batch:
                try:
                    self._consume([item for item, _ in batch], self._is_late)
                except Exception:  # noqa: BLE001 # the boundary of the thread: the next batch has its chance
                    with self._lock:
                        self.dropped += len(batch)
                with self._lock:
                    self._size -= sum(size for _, size in batch)
                    self._held = 0
            if mark is not None:
                ends = mark.last and self._end()
                if ends:
                    self._at_end()
                mark.done.set()
                if ends:
                    return

    def _end(self) -> bool:
        """Say that this thread is no more, unless something was put in meanwhile."""
        with self._lock:
            if not self._items.empty():
                return False
            self._thread = None
            return True

    def _next_batch(self) -> tuple[list[tuple[_T, int]], _Flush | None]:
        batch: list[tuple[_T, int]] = []
        item = self._items.get()
        end = time.monotonic() + self._bounds.wait
        while not isinstance(item, _Flush):
            batch.append(item)
            self._held = len(batch)
            if len(batch) >= self._bounds.batch:
                return batch, None
            try:
                item = self._items.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return batch, None
        return batch, item


class QueueHandler(logging.Handler):
    """A handler that hands its records over to a queue, and so never waits for what it writes to."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._complaint = Complaint(what)

    def acquire(self) -> None:
        """Do nothing: ``logging.shutdown`` would hold the lock while it waits for a thread that may log."""

    def release(self) -> None:
        """Do nothing, as ``acquire``."""

    def takes(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be written: not what the writing itself logs, which would go round and round."""
        raise NotImplementedError

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter the record and hand it over; one at a time, for those who override ``emit``."""
        kept: Any = self.filter(record) if self.takes(record) else False
        if kept and self.lock is not None:
            with self.lock:
                self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 # the name of logging
        """Say once what is wrong with a record; what is wrong with the server is said by the thread that sends."""
        self._complaint.error()


def _holds_logging() -> bool:
    """Tell whether this thread holds logging's own lock, as ``dictConfig`` does; True where that can't be told."""
    owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return owned is None or bool(owned())


class _Processes:
    """All queues of the process, for its forks and its end; a hook of forks can't be taken back, so there is one."""

    def __init__(self) -> None:
        self._queues: weakref.WeakSet[Background[Any]] = weakref.WeakSet()
        self._registered = False
        self._patched = False
        self._ends_in = 0

    def watch(self, background: Background[Any]) -> None:
        self._queues.add(background)
        if not self._registered:
            self._registered = True
            os.register_at_fork(after_in_child=self._in_child)

    def flush_at_end(self) -> None:
        """Have the process write what it has queued when it ends; one of ``multiprocessing`` ends without atexit."""
        if self._ends_in == os.getpid():
            return
        self._ends_in = os.getpid()
        # Runs before logging.shutdown, which was registered when logging was imported: nobody holds a lock yet.
        atexit.unregister(self._flush)
        atexit.register(self._flush)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, self._flush, exitpriority=0)
        if not self._patched:
            self._patched = True
            for name in ("execv", "execve"):  # all others of os end in these two
                setattr(os, name, self._flushed_before(getattr(os, name)))

    def _flushed_before(self, function: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        # A process that becomes another program ends without atexit; an audit hook would cost each call of id().
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> NoReturn:
            self._flush()
            function(*args, **kwargs)

        return run

    def _flush(self) -> None:
        for background in list(self._queues):
            background.flush()

    def _in_child(self) -> None:
        for background in list(self._queues):
            background.after_fork()


_PROCESS = _Processes()
