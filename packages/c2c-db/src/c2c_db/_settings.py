"""The package's settings."""

from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import setting


def parse_read_your_writes(raw: object) -> str | float:
    """Read ``lsn``, ``off`` or a number of seconds."""
    value = str(raw).lower()
    if value in {"lsn", "off"}:
        return value
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError("use lsn, off, or a number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise ValueError("a number of seconds must be more than 0; off switches it off")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DbSettings:
    """How replicas are used; the databases themselves come from ``setup_session`` or ``add_database``."""

    replica_failover: Literal["primary", "error"] = setting(
        "primary",
        env="C2C_DB_REPLICA_FAILOVER",
        key="c2c.db.replica_failover",
        help="what a read does when no replica is usable: primary or error",
    )
    max_lag: float | None = setting(
        None,
        env="C2C_DB_MAX_LAG",
        key="c2c.db.max_lag",
        minimum=0,
        help="seconds; a replica further behind is not used",
    )
    read_your_writes: str | float = setting(
        "lsn",
        env="C2C_DB_READ_YOUR_WRITES",
        key="c2c.db.read_your_writes",
        parse=parse_read_your_writes,
        help="lsn, a number of seconds, or off",
    )
    enforce_readonly: bool = setting(
        default=True,
        env="C2C_DB_ENFORCE_READONLY",
        key="c2c.db.enforce_readonly",
        help="sessions on the replica side are READ ONLY in the database",
    )
    maintenance_view_enabled: bool = setting(
        default=False,
        env="C2C_DB_MAINTENANCE_VIEW_ENABLED",
        key="c2c.db_maintenance_view_enabled",
        help="adds the view that switches maintenance mode",
    )
