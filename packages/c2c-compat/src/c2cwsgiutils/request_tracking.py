"""Request ids."""

from c2c_logging import includeme as init

__all__ = ["init"]
