"""Health checks."""

from c2c_compat._checks import EngineType, HealthCheck, JsonCheckException
from c2c_compat._include import including

__all__ = ["EngineType", "HealthCheck", "JsonCheckException", "includeme", "init"]

init = includeme = including("c2c_health")
