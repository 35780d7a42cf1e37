"""Coverage of a service's processes."""

from c2c_meta import start_coverage as init

__all__ = ["init"]
