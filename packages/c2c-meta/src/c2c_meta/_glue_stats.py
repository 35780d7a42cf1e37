"""Metrics of what other packages tell: decisions and states of databases, health checks, versions."""

from typing import TYPE_CHECKING, Any

from c2c_stats import automatic
from c2c_stats.prometheus import metrics_app

if TYPE_CHECKING:  # one of them may be excluded, and is not imported then
    from pyramid.config import Configurator

    from c2c_health import HealthChecked, RequestThreadsSeen, VersionSeen

_TIMED = frozenset({"db", "alembic"})
# What each alembic check saw last: an older version is no longer shown as the present one.
_VERSIONS: dict[str, str] = {}
_OUTCOMES = {"passed": "success", "degraded": "degraded", "failed": "failure"}
_VALUES = {"passed": 1.0, "degraded": 0.5, "failed": 0.0}


def measure(config: "Configurator", included: frozenset[str]) -> None:
    """Have c2c-stats measure what the packages of an application tell."""
    if "c2c_db" in included:
        config.add_db_observer(database_metrics)
    if "c2c_health" in included:
        from c2c_health import HealthCheck, HealthChecked, RequestThreadsSeen, VersionSeen

        health_check = HealthCheck(config)
        health_check.on_event(HealthChecked, count_check)
        health_check.on_event(VersionSeen, count_version)
        health_check.on_event(RequestThreadsSeen, note_threads)
        health_check.on_queue_time(note_queue_time)
        health_check.add_probe_page("/metrics", metrics_page)
    if "c2c_debug" in included:
        from c2c_debug.running import count_with

        config.action("c2c_meta.count_lost", count_with, args=(count_lost,))


def database_metrics(event: Any) -> None:
    """Observe c2c-db: count decisions by reason and changes of state, show the lag."""
    from c2c_db import Decided, ReplicaStatus, StateChanged

    if isinstance(event, Decided):
        tags = {"engine": event.engine, "role": str(event.role), "reason": event.reason}
        automatic("counter", ("db", "decision"), tags).inc()
    elif isinstance(event, StateChanged):
        automatic("counter", ("db", "state"), {"engine": event.engine, "state": str(event.after)}).inc()
    elif isinstance(event, ReplicaStatus) and event.lag is not None:
        automatic("gauge", ("db", "lag"), {"engine": event.engine}).set(event.lag)


def count_check(event: "HealthChecked") -> None:
    """Count a run of a health check, time it where it asked a database, and show how the check stands."""
    for outcome, label in _OUTCOMES.items():  # all, so that Prometheus sees the first failure as an increase
        automatic("counter", ("health_check",), {"name": event.name, "outcome": label}).inc(outcome == event.outcome)
    automatic("gauge", ("health_check_state",), {"name": event.name}).set(_VALUES[event.state])
    if event.kind in _TIMED:
        path = ("sql", "manual", "health_check", event.kind)
        automatic("timer", path, {}, labels={"name": event.name}).observe(event.seconds)
    if event.kind == "alembic" and isinstance(event.result, str):
        before, _VERSIONS[event.name] = _VERSIONS.get(event.name, event.result), event.result
        for version, value in ((before, 0), (event.result, 1)):
            automatic("gauge", ("alembic_version",), {"name": event.name, "version": version}).set(value)


def note_threads(event: "RequestThreadsSeen") -> None:
    """Show how busy the request threads of this host's processes are, and how many connections wait for them."""
    for name, value in (("busy_threads", event.busy), ("threads", event.threads), ("listen_backlog", event.backlog)):
        if value is not None:
            automatic("gauge", (name,), {}).set(value)


def note_queue_time(seconds: float) -> None:
    """Time how long a request waited for a thread, by ``X-Request-Start``."""
    automatic("timer", ("queue",), {}).observe(seconds)


def count_version(event: "VersionSeen") -> None:
    """Count the processes that run a version."""
    automatic("counter", ("version",), {"version": event.version}).inc(event.count)


def metrics_page() -> tuple[str, bytes]:
    """Return what ``GET /metrics`` answers."""
    headers: dict[str, str] = {}
    body = b"".join(metrics_app({"REQUEST_METHOD": "GET"}, lambda _status, found: headers.update(found)))
    return headers["Content-Type"], body


def count_lost(reason: str, number: int) -> None:
    """Count requests that a process had in hand when it was ended by force."""
    automatic("counter", ("requests_lost",), {"reason": reason}).inc(number)
