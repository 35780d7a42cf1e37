"""The plaster loader of ``c2c://production.ini``."""

from c2c_meta._loader import Loader

__all__ = ["Loader"]
