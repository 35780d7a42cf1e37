"""The package's settings."""

from dataclasses import dataclass

from c2c_broadcast import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """How health is reported; the checks themselves come from ``HealthCheck`` or ``add_health_check``."""

    failure_status: int = setting(
        500,
        env="C2C_HEALTH_FAILURE_STATUS",
        key="c2c.health.failure_status",
        minimum=400,
        maximum=599,
        help="HTTP status of a report in which a check failed",
    )
    replica_required: bool = setting(
        default=False,
        env="C2C_HEALTH_REPLICA_REQUIRED",
        key="c2c.health.replica_required",
        help="a replica that is away fails its check's level, even where reads go to the primary meanwhile",
    )
    versions_path: str = setting(
        "/app/versions.json",
        env="C2C_VERSIONS_PATH",
        key="c2c.versions_path",
        help="the file that c2c-genversion wrote",
    )
    linger: float = setting(
        3.0,
        env="C2C_HEALTH_LINGER",
        key="c2c.health.linger",
        minimum=0,
        maximum=3600,
        help="seconds for which a stopping service still serves, with its readiness red",
    )
    development: bool = setting(
        default=False,
        env="DEVELOPMENT",
        key="c2c.development",
        help="shows everybody the stack traces of failed checks",
    )
