"""Threads that run jobs: as many as run at once, started when needed, gone when idle, and back after a fork."""

import queue
import threading
from collections.abc import Callable

from c2c_health import _forks

Job = Callable[[], None]

_IDLE_SECONDS = 60.0


class Threads:
    """Daemon threads, started when there is none free, up to the limit that comes with a job."""

    def __init__(self, name: str, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._name = name
        self._idle_seconds = idle_seconds
        self.after_fork()
        _forks.watch(self)

    def after_fork(self) -> None:
        """Begin without threads."""
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._count = 0
        self._free = 0  # threads that wait and are not promised to a job
        self._backlog = 0  # jobs that no thread is promised to

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._count

    def submit(self, job: Job, limit: float = float("inf")) -> None:
        """Run ``job``, which raises nothing, in a thread; where there are ``limit`` already, in the next that is free.

        Raises:
            RuntimeError: The system has no more threads.
        """
        with self._lock:
            if self._free:
                self._free -= 1
            elif self._count >= limit:
                self._backlog += 1
            else:
                threading.Thread(target=self._work, args=(self._jobs,), name=self._name, daemon=True).start()
                self._count += 1
            self._jobs.put(job)

    def close(self) -> None:
        """Let the idle threads end now, the others after their jobs. A job submitted later starts a thread again."""
        with self._lock:
            for _ in range(self._count):
                self._jobs.put(None)
            self._jobs = queue.SimpleQueue()
            self._count = self._free = self._backlog = 0

    def _work(self, jobs: "queue.SimpleQueue[Job | None]") -> None:
        while True:
            try:
                job = jobs.get(timeout=self._idle_seconds)
            except queue.Empty:
                with self._lock:
                    if jobs is not self._jobs:
                        return
                    if self._free:  # else a job is on its way to this thread
                        self._free -= 1
                        self._count -= 1
                        return
                continue
            if job is None:
                return
            job()
            del job  # what it holds (a request, a session) is not kept by an idle thread
            with self._lock:
                if jobs is not self._jobs:
                    continue
                if self._backlog:
                    self._backlog -= 1  # the next job is promised to this thread
                else:
                    self._free += 1
