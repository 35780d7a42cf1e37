"""Which version of the service this is."""

from c2c_compat._include import including
from c2c_health.version import get_version

__all__ = ["get_version", "includeme", "init"]

init = includeme = including("c2c_health")
