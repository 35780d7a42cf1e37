"""A bounded queue and the thread that empties it: whoever puts something in never waits.

The thread starts with the first item put in, in the process that puts it in: what is built before a fork works after.
"""

import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")
_AT_END = 2.0


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
    """

    def __init__(self, name: str, consume: Callable[[list[_T], Callable[[], bool]], None], bounds: Bounds) -> None:
        self._name = name
        self._consume = consume
        self._bounds = bounds
        self.dropped = 0
        self._begin()
        _PROCESS.watch(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a finalizer may log while we hold it
        self._items: queue.SimpleQueue[tuple[_T, int] | _Flush] = queue.SimpleQueue()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._held = 0

    def after_fork(self) -> None:
        """Begin anew in the child: what is queued is the parent's to write."""
        self.dropped = 0
        self._begin()

    def put(self, item: _T, size: int) -> bool:
        """Queue an item of about ``size`` bytes; False, and counted, where there is no room."""
        if self._items.qsize() + self._held >= self._bounds.items or self._size + size > self._bounds.size:
            with self._lock:
                self.dropped += 1
            return False
        with self._lock:
            self._size += size
            if self._thread is None or not self._thread.is_alive():
                self._hurry.clear()
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                _PROCESS.flush_at_end()
            self._items.put((item, size))
        return True

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs on the queue's thread: what it logs must not come back to it."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float, *, last: bool = False) -> bool:
        """Wait until all that is queued now is dealt with; False where that takes longer than ``timeout`` seconds."""
        thread = self._thread
        if thread is None or not thread.is_alive() or self.is_own_thread:
            return True
        mark = _Flush(last=last)
        self._items.put(mark)
        if mark.done.wait(timeout):
            return True
        if last:
            self._hurry.set()
            mark.done.wait(1)
        return mark.done.is_set()

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
                    self._consume([item for item, _ in batch], self._hurry.is_set)
                except Exception:  # noqa: BLE001 # the boundary of the thread: the next batch has its chance
                    with self._lock:
                        self.dropped += len(batch)
                with self._lock:
                    self._size -= sum(size for _, size in batch)
                    self._held = 0
            if mark is not None:
                ends = mark.last and self._end()
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


class _Processes:
    """All queues of the process, for its forks and its end; a hook of forks can't be taken back, so there is one."""

    def __init__(self) -> None:
        self._queues: weakref.WeakSet[Background[Any]] = weakref.WeakSet()
        self._registered = False
        self._ends_in = 0

    def watch(self, background: Background[Any]) -> None:
        self._queues.add(background)
        if not self._registered:
            self._registered = True
            os.register_at_fork(after_in_child=self._in_child)

    def flush_at_end(self) -> None:
        """Have a process of ``multiprocessing``, which ends without atexit, write what it has queued."""
        util = sys.modules.get("multiprocessing.util")
        if util is not None and self._ends_in != os.getpid():
            self._ends_in = os.getpid()
            util.Finalize(None, self._flush, exitpriority=0)

    def _flush(self) -> None:
        for background in list(self._queues):
            background.flush(_AT_END)

    def _in_child(self) -> None:
        for background in list(self._queues):
            background.after_fork()


_PROCESS = _Processes()
