"""A bounded queue and the thread that empties it: whoever puts something in never waits.

The thread starts with the first item that waits, in the process that puts it in: what is built before a fork works
after. ``logging.shutdown`` and ``dictConfig`` call ``flush`` and ``close`` of handlers while locks are held that the
thread needs as soon as anything in it logs: nobody waits while ``logging``'s own is held; what is queued then is
written by the thread, before the process ends.
"""

import functools
import logging
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from c2c_broadcast.process import Worker, at_exit, at_fork

_T = TypeVar("_T")
_A_LITTLE = 1.0  # seconds for what the thread is doing when its time is over


class Behind(NamedTuple):
    """A reader of log lines that is behind: since when (seconds), how many lines wait, how many were dropped."""

    seconds: float
    lines: int
    dropped: int


class Queue(Generic[_T]):
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
        self._stuck_at = -1
        self._end_by = math.inf

    def consume(self, batch: list[_T]) -> int:
        """Deal with a batch; return how many of it are lost. One that fails may try again until it ``is_late``."""
        return len(batch)  # here nothing deals with it

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
            self._end_by = 0.0
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
