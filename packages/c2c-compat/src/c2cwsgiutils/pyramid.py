"""The whole toolkit: ``config.include(c2cwsgiutils.pyramid.includeme)``."""

from c2c_compat import includeme

__all__ = ["includeme"]
