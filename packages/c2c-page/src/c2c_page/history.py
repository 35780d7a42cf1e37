"""What a process did in the last 30 minutes, what it is doing now, and how its health checks went."""

import contextlib
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyramid.config import Configurator
from pyramid.tweens import INGRESS

from c2c_broadcast import Live, Section
from c2c_broadcast.process import Worker
from c2c_page.members import ask_all, resident_kb, tell

EVERY = 5.0
"""Seconds between two points of the history."""

_KEY = "c2c_page.history"
_POINTS = 360  # 30 minutes
_COLUMNS = ("time", "requests", "errors", "mean_ms", "p95_ms", "busy", "rss_kb")
# Requests of five seconds that are kept for the percentile; beyond, the earliest are forgotten.
_MOST_DURATIONS = 20_000
_RUNS = 30
_FIRST_ERROR = 500


class History:
    """The requests of one application in this process: how many are in progress, and a point for every 5 seconds.

    A request costs two operations on a dict and one on a deque, each atomic in itself. A thread makes the points,
    beginning with the first request of the process. 360 points of seven numbers are 20 kB.
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._points: deque[array[float]] = deque(maxlen=_POINTS)
        self._ended: deque[float] = deque(maxlen=_MOST_DURATIONS)  # seconds of a request; negative: an error
        self.worker: Worker | None = None
        self._begun = False
        self.busy: dict[int, None] = {}  # requests in progress, by their id

    def tween(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the tween that notes each request."""

        def note(request: Any) -> Any:
            if self.worker is not None and not self.worker.running:
                self.worker.wake()
            key, begun, status = id(request), self._monotonic(), _FIRST_ERROR
            self.busy[key] = None
            try:
                response = handler(request)
                status = getattr(response, "status_int", 0)  # of any class: Pyramid asks for none
                return response
            finally:
                self.busy.pop(key, None)
                seconds = self._monotonic() - begun
                self._ended.append(-seconds if status >= _FIRST_ERROR else seconds)

        return note

    def turn(self) -> float:
        """Make a point of what ended since the last one; return the seconds until the next."""
        if not self._begun:  # the first five seconds begin now
            self._begun = True
            return EVERY
        ended: list[float] = []
        with contextlib.suppress(IndexError):
            while True:
                ended.append(self._ended.popleft())
        times = sorted(map(abs, ended))
        mean = 1000 * sum(times) / len(times) if times else 0
        p95 = 1000 * times[int(0.95 * (len(times) - 1))] if times else 0
        errors = sum(one < 0 for one in ended)
        point = (self._clock(), len(times), errors, mean, p95, len(self.busy), resident_kb() or 0)
        self._points.append(array("d", point))
        return EVERY

    def found(self) -> list[list[float]]:
        """Return the points, the oldest first: time (seconds since the epoch), requests, errors, mean and 95th
        percentile in ms, requests in progress, resident memory in kB.
        """  # noqa: D205 # one sentence
        return [[round(value, 2) for value in point] for point in tuple(self._points)]


@dataclass(slots=True)
class _Check:
    level: int
    state: str = ""
    since: float = 0.0
    changed: bool = False
    at: float = 0.0
    runs: deque[str] = field(default_factory=lambda: deque(maxlen=_RUNS))


class CheckHistory:
    """The last 30 runs of each health check of this process, and since when each stands as it does."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, _Check] = {}

    def __call__(self, event: Any) -> None:
        """Note a run: ``event`` has ``name``, ``level``, ``state`` and ``outcome`` (c2c-health's ``HealthChecked``)."""
        now = self._clock()
        with self._lock:
            check = self._checks.setdefault(event.name, _Check(event.level))
            if check.state != event.state:
                check.changed = bool(check.state)
                check.state, check.since = str(event.state), now
            check.at = now
            check.runs.append(event.outcome[0])

    def found(self) -> dict[str, dict[str, Any]]:
        """Return each check's ``level`` and ``state``, and how it came to it.

        ``since`` and ``at`` (of the last run) are seconds since the epoch; ``changed`` tells whether it was in another
        state before, or this is how it was when the process began to look. ``runs`` has a letter a run, the oldest
        first: p (passed), d (degraded), f (failed).
        """
        with self._lock:
            return {
                name: {
                    "level": check.level,
                    "state": check.state,
                    "since": round(check.since, 3),
                    "changed": check.changed,
                    "at": round(check.at, 3),
                    "runs": "".join(check.runs),
                }
                for name, check in self._checks.items()
            }


def add(config: Configurator) -> None:
    """Note each request, and show the last 30 minutes of all processes."""
    history = config.registry.setdefault(_KEY, History())
    history.worker = Worker("c2c-page-history", history.turn)
    config.add_tween("c2c_page.history.tween_factory", under=INGRESS)
    tell(config, "history", lambda: {"points": history.found()})
    config.add_operator_view(_view, name="history", path="/history", level="read")
    live = Live(title="The last 30 minutes", kind="history", route="c2c_history", every=EVERY)
    config.add_section(Section(name="history", title="History", order=12, live=(live,)))


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of an application."""
    return history_of(registry).tween(handler)


def history_of(registry: Any) -> History:
    """Return the history of an application in this process."""
    found: History = registry[_KEY]
    return found


def _view(request: Any) -> dict[str, Any]:
    """Return ``every`` (seconds), the names of the ``columns``, and the members with their ``points``."""
    return {"every": EVERY, "columns": list(_COLUMNS), **ask_all(request.registry, "history")}
