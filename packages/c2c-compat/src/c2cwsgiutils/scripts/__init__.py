"""Commands, as far as services import them."""

from c2cwsgiutils.scripts import genversion

__all__ = ["genversion"]
