"""Coverage of a service"s processes."""

from c2c_meta import start_coverage as includeme

__all__ = ["includeme", "init"]

init = includeme
