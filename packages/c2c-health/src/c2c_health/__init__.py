"""Health checks that cannot hang, lie or leak, and version information."""

from c2c_health._check import (
    Check,
    Degraded,
    HealthChecked,
    JsonCheckException,
    Options,
    Pace,
    RequestThreadsSeen,
    State,
    VersionSeen,
)
from c2c_health._health_check import HealthCheck, shutting_down
from c2c_health._settings import HealthSettings
from c2c_health._views import includeme

__all__ = [
    "Check",
    "Degraded",
    "HealthCheck",
    "HealthChecked",
    "HealthSettings",
    "JsonCheckException",
    "Options",
    "Pace",
    "RequestThreadsSeen",
    "State",
    "VersionSeen",
    "includeme",
    "shutting_down",
]
