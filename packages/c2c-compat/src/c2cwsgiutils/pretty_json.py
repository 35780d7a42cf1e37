"""JSON renderers."""

from c2c_rest import includeme as init

__all__ = ["init"]
