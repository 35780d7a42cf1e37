"""Watch libraries, as soon as the application imports them."""

from functools import partial
from importlib import import_module

from c2c_broadcast import when_imported


def _install(spy: str) -> None:
    import_module(f"c2c_stats._spies.{spy}").install()


# One object each: what waits for an import waits once.
_SPIES = {
    "sqlalchemy": partial(_install, "sqlalchemy"),
    "requests": partial(_install, "requests_library"),
    "redis": partial(_install, "redis_library"),
}


def install(*, redis: bool) -> None:
    """Watch SQLAlchemy, requests and, where asked, redis. Where one is never imported this costs nothing."""
    for library, spy in _SPIES.items():
        if redis or library != "redis":
            when_imported(library, spy)
