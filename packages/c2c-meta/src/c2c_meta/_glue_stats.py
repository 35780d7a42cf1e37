"""Metrics of what other packages tell: decisions and states of databases, health checks, versions."""

from functools import cache
from typing import Any

import c2c_stats as stats
from c2c_db import Decided, Probed, StateChanged
from c2c_health import HealthChecked, State, VersionSeen


class DatabaseMetrics:
    """An observer of c2c-db: counters of decisions by reason and of changes of state, a gauge of the lag."""

    def __init__(self) -> None:
        self._decisions: dict[Decided, Any] = {}

    def __call__(self, event: Any) -> None:
        """Count an event; a decision is made in every request, so its counter is kept."""
        if isinstance(event, Decided):
            counter = self._decisions.get(event)
            if counter is None:
                tags = {"engine": event.engine, "role": str(event.role), "reason": event.reason}
                # As many as there are engines and reasons.
                counter = self._decisions[event] = stats.bound_counter(["db", "decision"], tags)
            counter.inc()
        elif isinstance(event, StateChanged):
            stats.increment_counter(["db", "state"], tags={"engine": event.engine, "state": event.after})
        elif isinstance(event, Probed) and event.lag is not None:
            stats.set_gauge(["db", "lag"], event.lag, {"engine": event.engine})


def count_check(event: HealthChecked) -> None:
    """Count a run of a health check, time it where it asked a database, and show how the check stands."""
    tags = {"name": event.name, "outcome": str(event.outcome)}
    stats.increment_counter(["health_check"], tags=tags)
    stats.set_gauge(["health_check_state"], event.state is not State.FAILED, {"name": event.name})
    if event.kind == "db":
        _database_timer().observe(event.seconds)


@cache
def _database_timer() -> Any:
    return stats.bound_timer(["sql", "manual", "health_check", "db"])


def count_version(event: VersionSeen) -> None:
    """Count the processes that run a version."""
    stats.increment_counter(["version"], event.count, {"version": event.version})


def count_lost(reason: str, number: int) -> None:
    """Count requests that a process had in hand when it was ended by force."""
    stats.increment_counter(["requests_lost"], number, {"reason": reason})
