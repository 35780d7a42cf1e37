"""Tools for acceptance tests."""

from c2c_testing.utils import retry

__all__ = ["retry"]
