"""Live diagnosis of every process of a Pyramid service."""

from c2c_debug._includeme import includeme, subscribe
from c2c_debug._settings import DebugSettings

__all__ = ["DebugSettings", "includeme", "subscribe"]
