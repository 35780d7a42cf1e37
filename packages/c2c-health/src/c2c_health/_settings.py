"""The package's settings."""

from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import setting


def _address(text: str) -> str | None:
    """Read ``host:port``, ``[::]:port``, ``:port`` or a path of a unix socket (with a slash)."""
    text = text.strip()
    _, colon, port = text.rpartition(":")
    is_port = colon and port.isdecimal() and 0 < int(port) < 65536  # noqa: PLR2004 # TCP
    if text and "/" not in text and not is_port:
        raise ValueError("must be host:port, :port or the path of a unix socket")
    return text or None


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
    unknown_checks: Literal["refuse", "report"] = setting(
        "refuse",
        env="C2C_HEALTH_UNKNOWN_CHECKS",
        key="c2c.health.unknown_checks",
        help="unknown names beside known ones in `checks=`: a 400, or listed as `unknown`, and the known ones decide",
    )
    replica_required: bool = setting(
        default=False,
        env="C2C_HEALTH_REPLICA_REQUIRED",
        key="c2c.health.replica_required",
        help="a replica that is away fails its check's level, even where reads go to the primary meanwhile",
    )
    status_key: bool = setting(
        default=True,
        env="C2C_HEALTH_STATUS_KEY",
        key="c2c.health.status_key",
        help="a report in which a check failed says its HTTP status as `status`, too",
    )
    redis_name: str = setting(
        "redis",
        env="C2C_HEALTH_REDIS_NAME",
        key="c2c.health.redis_name",
        help="name of the check of C2C_REDIS_URL that comes by itself; url: its URL",
    )
    versions_path: str = setting(
        "/app/versions.json",
        env="C2C_VERSIONS_PATH",
        key="c2c.versions_path",
        help="the file that c2c-genversion wrote",
    )
    versions_public: bool = setting(
        default=True,
        env="C2C_VERSIONS_PUBLIC",
        key="c2c.versions_public",
        help="versions.json is for everybody, not for operators only",
    )
    probe_address: str | None = setting(
        None,
        env="C2C_PROBE_ADDRESS",
        key="c2c.probe_address",
        parse=_address,
        help="host:port or unix path of /live, /ready, /health_check, /metrics beside the request threads",
    )
    live_stuck_seconds: float = setting(
        300.0,
        env="C2C_LIVE_STUCK_SECONDS",
        key="c2c.live_stuck_seconds",
        minimum=0,
        help="live is red when all request threads of a process are that long in the same requests; 0: never",
    )
    ready_busy_seconds: float = setting(
        0.0,
        env="C2C_READY_BUSY_SECONDS",
        key="c2c.ready_busy_seconds",
        minimum=0,
        help="ready is red while all request threads of all processes have been busy that long; 0: never",
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
