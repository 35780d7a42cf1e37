"""Plans of SQL statements."""

from c2c_debug import includeme as init

__all__ = ["init"]
