"""MapFish Print."""

from c2c_testing.print import PrintConnection

__all__ = ["PrintConnection"]
