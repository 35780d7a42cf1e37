"""How the health checks of this process went lately, and since when each stands as it does."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from c2c_health import HealthChecked

_RUNS = 30


@dataclass(slots=True)
class _Check:
    level: int
    state: str = ""
    since: float = 0.0
    at: float = 0.0
    runs: deque[str] = field(default_factory=lambda: deque(maxlen=_RUNS))


class HealthHistory:
    """The last 30 runs of each check."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, _Check] = {}

    def __call__(self, event: HealthChecked) -> None:
        """Note a run: a subscriber of c2c-health's event."""
        now = self._clock()
        with self._lock:
            check = self._checks.setdefault(event.name, _Check(event.level))
            if check.state != event.state:
                check.state, check.since = str(event.state), now
            check.at = now
            check.runs.append(event.outcome[0])

    def found(self) -> dict[str, dict[str, Any]]:
        """Return each check's ``level``, ``state``, ``since``, ``at`` (of the last run, seconds since the epoch), and
        ``runs``: a letter a run, the oldest first: p (passed), d (degraded), f (failed).
        """  # noqa: D205 # one sentence
        with self._lock:
            return {
                name: {
                    "level": check.level,
                    "state": check.state,
                    "since": round(check.since, 3),
                    "at": round(check.at, 3),
                    "runs": "".join(check.runs),
                }
                for name, check in self._checks.items()
            }
