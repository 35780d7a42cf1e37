"""Live diagnosis of every process of a Pyramid service."""

from c2c_debug._includeme import includeme, subscribe
from c2c_debug._settings import DebugSettings
from c2c_debug.running import in_flight

__all__ = ["DebugSettings", "in_flight", "includeme", "subscribe"]
