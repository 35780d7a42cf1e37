"""Health checks."""

from c2c_compat._include import including
from c2c_health import HealthCheck, JsonCheckException

__all__ = ["HealthCheck", "JsonCheckException", "init"]

init = including("c2c_health")
