"""The packages of the toolkit, in the order in which they are included."""

from types import MappingProxyType

SHORT_NAMES = MappingProxyType(
    {
        "broadcast": "c2c_broadcast",
        "logging": "c2c_logging",
        "sentry": "c2c_sentry",
        "stats": "c2c_stats",
        "rest": "c2c_rest",
        "db": "c2c_db",
        "health": "c2c_health",
        "debug": "c2c_debug",
        "page": "c2c_page",
    }
)
"""Short name -> import name.

The request id comes first, so that all that follows can log it; metrics are round the error views, so that they see
the status that the client sees.
"""

OPTIONAL_SHORT_NAMES = MappingProxyType({"auth": "c2c_auth", "testing": "c2c_testing"})
"""Those that come with an extra, ``c2c-meta[auth]``; c2c_auth is included where it is installed."""
