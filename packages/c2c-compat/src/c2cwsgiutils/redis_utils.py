"""Clients of the Redis that the settings name."""

from c2c_compat._redis import get

__all__ = ["get"]
