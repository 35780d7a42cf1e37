"""Request ids."""

from c2c_compat._include import including

__all__ = ["includeme", "init"]

init = includeme = including("c2c_logging")
