"""The threads that run callbacks: few, lazy, and never all taken by one channel."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

MAX_THREADS = 8
MAX_PER_CHANNEL = MAX_THREADS // 2
MAX_QUEUED = 1_000

Job = Callable[[], None]


class BusyError(Exception):
    """The queue of callbacks is full."""


class _Lane:
    """One channel's jobs: how many have a thread (or the promise of one), and those that wait."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[Job] = deque()


class _Pool:
    """At most eight daemon threads, started when needed; a channel takes at most half of them."""

    def __init__(self, depth: int, local: threading.local) -> None:
        self._depth = depth
        self._local = local
        self._lock = threading.Lock()
        self._ready: SimpleQueue[tuple[_Lane, Job] | None] = SimpleQueue()
        self._lanes: dict[str, _Lane] = {}
        self._threads = 0
        self._promised = 0  # jobs handed to threads and not yet ended
        self.queued = 0

    def submit(self, channel: str, job: Job) -> None:
        with self._lock:
            if self.queued >= MAX_QUEUED:
                raise BusyError(f"{MAX_QUEUED:,} callbacks are waiting for a thread")
            lane = self._lanes.get(channel)
            if lane is None:
                lane = self._lanes[channel] = _Lane()
            self.queued += 1
            if lane.running < MAX_PER_CHANNEL:
                self._promise(lane, job)
            else:
                lane.waiting.append(job)

    def close(self) -> None:
        with self._lock:
            for _ in range(self._threads):
                self._ready.put(None)

    def _promise(self, lane: _Lane, job: Job) -> None:
        lane.running += 1
        self._promised += 1
        self._ready.put((lane, job))
        if self._promised > self._threads and self._threads < MAX_THREADS:
            # Where the system has no thread to give, one that is there does it, or one that comes with a later job.
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._work, name="c2c-broadcast-callback", daemon=True).start()
                self._threads += 1

    def _work(self) -> None:
        self._local.depth = self._depth
        while (item := self._ready.get()) is not None:
            lane, job = item
            with self._lock:
                self.queued -= 1
            try:
                job()
            finally:
                with self._lock:
                    self._promised -= 1
                    lane.running -= 1
                    if lane.waiting:
                        self._promise(lane, lane.waiting.popleft())


class Executor:
    """Runs jobs. Those that a callback's own broadcast makes have threads of their own, one pool a depth of nesting.

    So callbacks that wait for answers never hold the threads that the answers need, in whichever processes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._local = threading.local()
        self._pools: dict[int, _Pool] = {}

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return sum(pool.queued for pool in list(self._pools.values()))

    @property
    def depth(self) -> int:
        """How deep the current thread is nested in callbacks of broadcasts: 0 outside of any."""
        depth: int = getattr(self._local, "depth", 0)
        return depth

    def submit(self, channel: str, job: Job, depth: int = 1) -> None:
        """Run ``job`` (which raises nothing) in a thread.

        Raises:
            BusyError: Too many jobs wait already.
        """
        pool = self._pools.get(depth)
        if pool is None:
            with self._lock:
                pool = self._pools.setdefault(depth, _Pool(depth, self._local))
        pool.submit(channel, job)

    def close(self) -> None:
        """Let the threads end, each after the job that it is at."""
        for pool in list(self._pools.values()):
            pool.close()
