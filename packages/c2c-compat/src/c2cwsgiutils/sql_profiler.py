"""Plans of SQL statements."""

from c2c_compat._include import including

__all__ = ["init"]

init = including("c2c_debug")
