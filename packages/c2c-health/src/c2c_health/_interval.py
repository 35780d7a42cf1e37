"""Checks that are run in the background, every so many seconds, whoever asks."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from c2c_health import _forks
from c2c_health._check import Check

_LONGEST_WAIT = 60.0
_PHASES = 32


def due(checks: Iterable[Check], begun: Mapping[str, float], now: float) -> tuple[list[Check], float]:
    """Return the checks whose interval is over, and the seconds until the next one's is.

    ``begun`` is when each was run last; one that never was is due.
    """
    ready, wait = [], _LONGEST_WAIT
    for check in checks:
        if check.interval is None:
            continue
        left = begun.get(check.name, -float("inf")) + check.interval - now
        if left <= 0:
            ready.append(check)
            left = check.interval
        wait = min(wait, left)
    return ready, wait


class Interval:
    """The thread that begins them. It starts with the first use in a process that has such checks."""

    def __init__(
        self,
        checks: Callable[[], Iterable[Check]],
        begin: Callable[[Check], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._begin = begin
        self._clock = clock
        self.after_fork()
        _forks.watch(self)

    def after_fork(self) -> None:
        """Begin without a thread."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread, unless it runs or has nothing to do."""
        if self._runs() or all(check.interval is None for check in self._checks()):
            return
        with self._lock:
            if not self._runs():
                self._thread = threading.Thread(
                    target=self._work, args=(self._stop,), name="c2c-health-interval", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End the thread; ``start`` starts it again."""
        with self._lock:
            self._stop.set()
            thread, self._thread, self._stop = self._thread, None, threading.Event()
        if thread is not None:
            thread.join(1)

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _work(self, stop: threading.Event) -> None:
        begun: dict[str, float] = {}
        wait = 0.0
        while not stop.wait(wait):
            now = self._clock()
            ready, wait = due(self._checks(), begun, now)
            for number, check in enumerate(ready):
                # All begin together; their second runs are spread, or they would meet for ever.
                early = 0.0 if check.name in begun else (number % _PHASES) / (2 * _PHASES) * (check.interval or 0)
                begun[check.name] = now - early
                self._begin(check)
            if ready:
                wait = due(self._checks(), begun, now)[1]
