"""Health checks that cannot hang, lie or leak, and version information."""

from c2c_health._check import Check, Options, Pace
from c2c_health._checks import shutting_down
from c2c_health._events import HealthChecked, VersionSeen
from c2c_health._health_check import HealthCheck
from c2c_health._includeme import includeme
from c2c_health._outcomes import Degraded, JsonCheckException, State
from c2c_health._settings import HealthSettings

__all__ = [
    "Check",
    "Degraded",
    "HealthCheck",
    "HealthChecked",
    "HealthSettings",
    "JsonCheckException",
    "Options",
    "Pace",
    "State",
    "VersionSeen",
    "includeme",
    "shutting_down",
]
