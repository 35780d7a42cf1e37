"""What is behind the import name ``c2cwsgiutils``: the little that is more than a name.

``config.include("c2c_compat")`` is ``config.include("c2cwsgiutils.pyramid")``. Importing this does nothing.
"""

from typing import Any

__all__ = ["includeme"]


def includeme(config: Any) -> None:
    """Add the whole toolkit, with what c2cwsgiutils 3 had open: ``config.include(c2cwsgiutils.pyramid.includeme)``.

    Everybody may reset ``stats.json``, unless ``C2C_STATS_PUBLIC_RESET`` (ini key ``c2c.stats_public_reset``) says
    otherwise; one line in the log says so. Loggers named ``c2cwsgiutils`` in the ini file are those of the packages.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from c2c_compat._include import add

    config.include(add)  # Pyramid sees that it is the same one, by whatever name the service includes it
