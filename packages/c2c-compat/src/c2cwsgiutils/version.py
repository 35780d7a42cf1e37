"""Which version of the service this is."""

from c2c_health import includeme as init
from c2c_health.version import get_version

__all__ = ["get_version", "init"]
