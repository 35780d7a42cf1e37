"""One thread that says when a time of day has come."""

import heapq
import logging
import threading
import time
from collections.abc import Callable

_LOG = logging.getLogger(__name__)

# Clocks are set and machines sleep: look again this often.
_LONGEST_SLEEP = 10.0


class Alarms:
    """Calls ``ring(name)`` at times in seconds since the epoch; its thread lives from the first alarm to the last."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child, without alarms."""
        self._changed = threading.Condition()
        self._heap: list[tuple[float, str]] = []
        self._running = False

    def at(self, when: float, name: str) -> None:
        """Ring for ``name`` at ``when``, once."""
        with self._changed:
            if (when, name) in self._heap:
                return
            heapq.heappush(self._heap, (when, name))
            self._changed.notify()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="c2c-broadcast-alarms", daemon=True).start()

    def _run(self) -> None:
        while (name := self._next()) is not None:
            try:
                self._ring(name)
            except Exception:  # noqa: BLE001 # the boundary of the thread: the next alarm must ring
                _LOG.warning("The end of a value of shared state %s could not be told", name, exc_info=True)

    def _next(self) -> str | None:
        with self._changed:
            while self._heap:
                wait = self._heap[0][0] - time.time()
                if wait <= 0:
                    return heapq.heappop(self._heap)[1]
                self._changed.wait(min(wait, _LONGEST_SLEEP))
            self._running = False
            return None
