"""Health checks."""

from c2c_health import HealthCheck, JsonCheckException
from c2c_health import includeme as init

__all__ = ["HealthCheck", "JsonCheckException", "init"]
