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
    changed: bool = False
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
