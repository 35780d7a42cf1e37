"""Log levels at run time."""

from c2c_compat._include import including

__all__ = ["init"]

init = including("c2c_logging")
