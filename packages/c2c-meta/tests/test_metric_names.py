"""What statsd gets of the metrics that are made by themselves: no tags where they are not to be used."""

from typing import Any

import c2c_stats as stats
from c2c_db import Decided, ReplicaStatus, StateChanged
from c2c_health import HealthChecked, RequestThreadsSeen, State, VersionSeen
from c2c_meta._glue_stats import (
    count_check,
    count_lost,
    count_version,
    database_metrics,
    note_queue_time,
    note_threads,
)


class _Event:
    """An event with whatever fields a class of events has."""

    def __new__(cls, of: type, **fields: Any) -> Any:
        made = object.__new__(of)
        for name in of.__dataclass_fields__:  # type: ignore[attr-defined] # a dataclass
            object.__setattr__(made, name, fields.get(name, "x"))
        return made


def _events() -> None:
    database_metrics(_Event(Decided, engine="sqlalchemy", role="primary", reason="writes"))
    database_metrics(_Event(StateChanged, engine="sqlalchemy_slave", after="offline"))
    database_metrics(_Event(ReplicaStatus, engine="sqlalchemy_slave", lag=1.5))
    for kind, outcome in (("db", State.PASSED), ("alembic", State.DEGRADED), ("url", State.FAILED)):
        count_check(_Event(HealthChecked, name=kind, kind=kind, outcome=outcome, state=outcome, seconds=0.1))
    disk = {"name": "live_disk", "kind": "live", "outcome": State.DEGRADED, "state": State.DEGRADED}
    count_check(_Event(HealthChecked, **disk, seconds=0.0))
    note_threads(_Event(RequestThreadsSeen, busy=3, threads=8, backlog=2))
    note_queue_time(0.25)
    count_lost("oom", 2)
    count_version(_Event(VersionSeen, version="abc", count=2))


NAMES = {
    "db.decision.sqlalchemy.primary.writes",
    "db.state.sqlalchemy_slave.offline",
    "db.lag.sqlalchemy_slave",
    "health_check.db.success",
    "health_check.alembic.degraded",
    "health_check.url.failure",
    "health_check_state.db",
    "health_check_state.url",
    "sql.manual.health_check.db",
    "sql.manual.health_check.alembic",
    "alembic_version.alembic.x",
    "version.abc",
    "busy_threads",
    "threads",
    "listen_backlog",
    "queue",
    "requests_lost.oom",
}
VALUES = {
    "health_check_state.db": 1,
    "health_check_state.alembic": 0.5,
    "health_check_state.live_disk": 0.5,
    "health_check_state.url": 0,
    "busy_threads": 3,
    "threads": 8,
    "listen_backlog": 2,
    "requests_lost.oom": 2,
}


def test_paths_without_tags(statsd_sink: Any) -> None:
    """Without STATSD_USE_TAGS the path has it all: a green check does not stand over a red one."""
    stats.init_backends({"c2c.statsd_address": statsd_sink.address, "c2c.statsd_flush_interval": "0"})
    try:
        _events()
        statsd_sink.wait("version.abc")
    finally:
        stats.init_backends({})
    found = {one.name: one.value for one in statsd_sink.metrics}
    assert found.keys() >= NAMES
    assert {name: found[name] for name in VALUES} == VALUES
    assert not [datagram for datagram in statsd_sink.datagrams if b"#" in datagram]


def test_tags(statsd_sink: Any) -> None:
    """With it they are tags."""
    settings = {"c2c.statsd_use_tags": "true", "c2c.statsd_address": statsd_sink.address}
    stats.init_backends({**settings, "c2c.statsd_flush_interval": "0"})
    try:
        _events()
        statsd_sink.wait("version")
    finally:
        stats.init_backends({})
    checks = [one.tags for one in statsd_sink.metrics if one.name == "health_check"]
    assert {"name": "url", "outcome": "failure"} in checks
    assert {one.name for one in statsd_sink.metrics} >= {"db.decision", "db.state", "db.lag", "health_check_state"}


def test_the_version_of_a_database() -> None:
    """An alembic check shows the version that it saw last, and that an older one is no more."""
    stats.init_backends({"c2c.stats_view": "true"})
    try:
        for version in ("aaa", "aaa", "bbb"):
            passed = {"outcome": State.PASSED, "state": State.PASSED, "seconds": 0.1}
            count_check(_Event(HealthChecked, name="db", kind="alembic", result=version, **passed))
        gauges = stats.BACKENDS["memory"].snapshot()["gauges"]  # type: ignore[attr-defined] # ours
    finally:
        stats.init_backends({})
    found = {name: value for name, (value, _) in gauges.items() if name.startswith("alembic_version")}
    assert found == {"alembic_version/db/aaa": 0, "alembic_version/db/bbb": 1}
