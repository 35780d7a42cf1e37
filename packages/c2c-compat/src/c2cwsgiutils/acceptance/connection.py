"""HTTP with checks."""

from c2c_testing.connection import CacheExpected, Connection

__all__ = ["CacheExpected", "Connection"]
