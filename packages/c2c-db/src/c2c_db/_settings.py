"""The package's settings."""

import contextlib
from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import ConfigurationError, setting
from c2c_db._marks import WINDOW


def parse_read_your_writes(raw: object) -> str | float:
    """Read ``lsn``, ``off`` or a number of seconds."""
    value = str(raw).lower()
    if value in {"lsn", "off"}:
        return value
    with contextlib.suppress(ValueError):
        if 0 < float(value) < float("inf"):
            return float(value)
    raise ValueError("use lsn, off, or a number of seconds, more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DbSettings:
    """How replicas are used; the databases themselves come from ``setup_session`` or ``add_database``.

    Raises:
        ConfigurationError: ``max_lag`` for replicas that are not asked for it.
    """

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
    replica_kind: Literal["streaming", "any"] = setting(
        "streaming",
        env="C2C_DB_REPLICA_KIND",
        key="c2c.db.replica_kind",
        help="what a replica is: streaming (in recovery, with positions), or any (logical, a copy, a read pool)",
    )
    primary_timeout: float = setting(
        5.0,
        env="C2C_DB_PRIMARY_TIMEOUT",
        key="c2c.db.primary_timeout",
        minimum=2,
        help="seconds that a request waits for a primary that hangs, not for a statement that takes long",
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

    def __post_init__(self) -> None:
        """Refuse what is not to be had."""
        if self.replica_kind == "any" and self.max_lag is not None:
            raise ConfigurationError(
                "c2c.db.max_lag (C2C_DB_MAX_LAG) needs replicas that say how far they are: take it out, "
                "or set c2c.db.replica_kind (C2C_DB_REPLICA_KIND) to streaming"
            )

    @property
    def window(self) -> float:
        """Seconds that reads stay on the primary after a write without a position."""
        return self.read_your_writes if isinstance(self.read_your_writes, float) else WINDOW
