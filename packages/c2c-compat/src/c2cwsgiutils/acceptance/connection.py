"""HTTP with checks."""

from c2c_compat._acceptance import check_response
from c2c_testing.connection import CacheExpected, Connection

__all__ = ["CacheExpected", "Connection", "check_response"]
