"""Health checks that cannot hang, lie or leak, and version information."""

from c2c_health._check import (
    Degraded,
    HealthChecked,
    JsonCheckException,
    Options,
    RequestThreadsSeen,
    State,
    VersionSeen,
)
from c2c_health._health_check import HealthCheck
from c2c_health._settings import HealthSettings
from c2c_health._views import includeme

__all__ = [
    "Degraded",
    "HealthCheck",
    "HealthChecked",
    "HealthSettings",
    "JsonCheckException",
    "Options",
    "RequestThreadsSeen",
    "State",
    "VersionSeen",
    "includeme",
]
