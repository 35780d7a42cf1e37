"""HTTP with checks."""

from c2c_testing.connection import CacheExpected, Connection, check_response

__all__ = ["CacheExpected", "Connection", "check_response"]
