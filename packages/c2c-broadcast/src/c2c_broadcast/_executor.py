"""The threads that run callbacks: few, lazy, and never all taken by one channel."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

MAX_THREADS = 8
MAX_PER_CHANNEL = MAX_THREADS // 2
MAX_QUEUED = 1_000
# Threads that wait for answers to a broadcast of their own are replaced meanwhile; together they are bounded too.
MAX_WAITING = 3 * MAX_THREADS

Job = Callable[[], None]


class BusyError(Exception):
    """The queue of callbacks is full."""


class _Lane:
    """One channel's jobs: how many have a thread (or the promise of one), and those that wait."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[Job] = deque()


class Executor:
    """Run jobs in at most eight daemon threads, started when needed; a channel takes at most half of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: SimpleQueue[tuple[str, Job] | None] = SimpleQueue()
        self._lanes: dict[str, _Lane] = {}
        self._threads = 0
        self._promised = 0  # jobs handed to threads and not yet ended
        self._waiting = 0  # threads inside waiting()
        self._queued = 0
        self._local = threading.local()

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return self._queued

    @property
    def depth(self) -> int:
        """How deep the current thread is nested in callbacks of broadcasts: 0 outside of any."""
        return getattr(self._local, "depth", 0)

    @depth.setter
    def depth(self, value: int) -> None:
        self._local.depth = value

    def submit(self, channel: str, job: Job) -> None:
        """Run ``job`` (which raises nothing) in a thread.

        Raises:
            BusyError: Too many jobs wait already.
        """
        with self._lock:
            if self._queued >= MAX_QUEUED:
                raise BusyError(f"{MAX_QUEUED:,} callbacks are waiting for a thread")
            lane = self._lanes.get(channel)
            if lane is None:
                lane = self._lanes[channel] = _Lane()
            self._queued += 1
            if lane.running < MAX_PER_CHANNEL:
                lane.running += 1
                self._promise(channel, job)
            else:
                lane.waiting.append(job)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let another thread work meanwhile, if the current one is a thread of this executor."""
        channel = getattr(self._local, "channel", None)
        if channel is None:
            yield
            return
        with self._lock:
            self._waiting += 1
            self._lanes[channel].running -= 1
            self._next(channel)
            self._grow()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._lanes[channel].running += 1

    def close(self) -> None:
        """Let the threads end, each after the job that it is at."""
        with self._lock:
            for _ in range(self._threads):
                self._ready.put(None)

    def _promise(self, channel: str, job: Job) -> None:
        self._promised += 1
        self._ready.put((channel, job))
        self._grow()

    def _grow(self) -> None:
        limit = MAX_THREADS + min(self._waiting, MAX_WAITING)
        if self._promised > self._threads and self._threads < limit:
            self._threads += 1
            threading.Thread(target=self._work, name="c2c-broadcast-callback", daemon=True).start()

    def _next(self, channel: str) -> None:
        lane = self._lanes[channel]
        if lane.waiting and lane.running < MAX_PER_CHANNEL:
            lane.running += 1
            self._promise(channel, lane.waiting.popleft())

    def _work(self) -> None:
        while (item := self._ready.get()) is not None:
            channel, job = item
            with self._lock:
                self._queued -= 1
            self._local.channel = channel
            try:
                job()
            finally:
                self._local.channel = None
                with self._lock:
                    self._promised -= 1
                    lane = self._lanes[channel]
                    lane.running -= 1
                    self._next(channel)
                    if not lane.running and not lane.waiting:
                        del self._lanes[channel]
                    surplus = self._threads > MAX_THREADS + self._waiting
                    if surplus:
                        self._threads -= 1
            if surplus:
                return
