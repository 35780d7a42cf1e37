"""A bounded queue and the thread that empties it: whoever puts something in never waits.

The thread starts with the first item put in, in the process that puts it in: what is built before a fork works after.

``logging.shutdown`` and ``dictConfig`` call ``flush`` and ``close`` of handlers while locks are held that the thread
needs as soon as anything in it logs. So a handler with a queue has no lock that they could hold (``QueueHandler``), and
nobody waits while ``logging``'s own is held: what is queued then is written by the thread, before the process ends.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from c2c_broadcast.process import Worker, at_fork
from c2c_logging._output import Complaint, at_end, holds_logging

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


class Queue(Generic[_T]):
    """Gives what is put in, in order, to ``consume(batch, hurry)`` on a thread of its own.

    ``consume`` returns when the batch is dealt with; while it fails it may try again, as long as ``hurry()`` is false.
    ``is_away`` tells whether it fails now: nobody waits for that at the end. ``over`` is called when the thread ends.
    What finds no room is counted; that there is none is said once, as how many were dropped (``dropped(count)``) when
    there is room again.
    """

    def __init__(
        self,
        name: str,
        consume: Callable[[list[_T], Callable[[], bool]], None],
        bounds: Bounds,
        *,
        is_away: Callable[[], bool] = lambda: False,
        over: Callable[[], None] = lambda: None,
        dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._full = Complaint(f"queue of {name}")
        self._tell_dropped = dropped
        self._consume = consume
        self._bounds = bounds
        self._is_away = is_away
        self._over = over
        self.after_fork()
        self._worker = Worker(name, self._work)
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew in the child: what is queued is the parent's to write."""
        self._lock = threading.RLock()  # a finalizer may log while we hold it
        self._items: deque[tuple[_T, int]] = deque()
        self._size = 0
        self._held = 0
        self._due = 0.0
        self._marks: list[tuple[int, threading.Event]] = []
        self._came = 0
        self._went = 0
        self._end_by = math.inf
        self._ends_here = False
        self._dropped = 0

    def put(self, item: _T, size: int) -> None:
        """Queue an item of about ``size`` bytes; where there is no room it is dropped, and counted."""
        with self._lock:
            full = len(self._items) + self._held >= self._bounds.items or self._size + size > self._bounds.size
            if full:
                self._dropped += 1
            else:
                if not self._items:
                    self._due = time.monotonic() + self._bounds.wait
                self._items.append((item, size))
                self._size += size
                self._came += 1
            wake = not full and len(self._items) in (1, self._bounds.batch)
        if full:
            self._full.wrong("is full: what comes is dropped and counted")
        if wake:
            self._wake()

    def _wake(self) -> None:
        if not self._worker.running:
            self._end_by = math.inf
        if not self._ends_here:
            self._ends_here = True
            at_end(self)
        if not self._worker.wake():
            # At the interpreter's end, or where the system gives no more threads: written here, without patience.
            self._end_by = 0.0
            self._work()

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs on the queue's thread: what it logs must not come back to it."""
        return self._worker.is_own_thread

    def flush(self, timeout: float = _AT_END) -> bool:
        """Wait until all that is queued now is dealt with; False where that takes longer than ``timeout`` seconds.

        Nobody waits for a server that is away, nor while this thread holds ``logging``'s lock.
        """
        done = threading.Event()
        with self._lock:
            if self._went == self._came or self.is_own_thread:
                return True
            self._marks.append((self._came, done))
        self._wake()
        return done.wait(0 if self._is_away() or holds_logging() else timeout)

    def at_exit(self) -> None:
        """Have all written at the end of the process."""
        self.flush()

    def close(self, timeout: float = _AT_END) -> bool:
        """End the thread when all that is queued is dealt with, in ``timeout`` seconds at most; wait as ``flush`` does.

        Records of a server that is away get one more try.
        """
        timeout = 0 if self._is_away() else timeout
        self._end_by = time.monotonic() + timeout
        if not self._worker.running:
            self._over()
        return self._worker.close(0 if holds_logging() else timeout + _A_LITTLE)

    def _is_late(self) -> bool:
        return time.monotonic() >= self._end_by

    def _work(self) -> float | None:
        """Consume what is due; on the thread."""
        while True:
            with self._lock:
                wait = self._due - time.monotonic()
                asked = self._marks or self._worker.closing or self._is_late()
                if self._items and len(self._items) < self._bounds.batch and wait > 0 and not asked:
                    return wait
                batch = [self._items.popleft() for _ in range(min(self._bounds.batch, len(self._items)))]
                self._held = len(batch)
            if not batch:
                break
            try:
                self._consume([item for item, _ in batch], self._is_late)
            except Exception:  # noqa: BLE001 # the boundary of the thread: the next batch has its chance
                with self._lock:
                    self._dropped += len(batch)
            away = self._is_away()
            with self._lock:
                self._size -= sum(size for _, size in batch)
                self._held = 0
                self._went += len(batch)
                reached = [mark for mark in self._marks if mark[0] <= self._went]
                self._marks = [mark for mark in self._marks if mark not in reached]
                dropped, self._dropped = (0, self._dropped) if away else (self._dropped, 0)
            if dropped:
                self._full.right(f", {dropped} records were dropped")
                self._tell_dropped(dropped)
            for _, done in reached:
                done.set()
        if self._worker.closing:
            self._over()
        return None


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
