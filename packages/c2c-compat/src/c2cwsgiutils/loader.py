"""The plaster loader of ``c2c://production.ini``."""

from c2c_meta import Loader

__all__ = ["Loader"]
