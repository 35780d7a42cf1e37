"""The driver of a database URL that names none."""

from collections.abc import Callable
from importlib.util import find_spec

from sqlalchemy.engine import URL, make_url

_DRIVERS = ("psycopg2", "psycopg")


def is_installed(name: str) -> bool:
    """Tell whether a driver is installed."""
    return find_spec(name) is not None


def with_driver(text: str | URL, installed: Callable[[str], bool] = is_installed) -> URL:
    """Return the URL with a driver that is there; one that it names is kept.

    SQLAlchemy 2.0 reads ``postgresql://`` as psycopg2, 2.1 as psycopg 3: where only the other one is installed, the URL
    means that one.

    Raises:
        ArgumentError: It is no URL.
    """
    url = make_url(text)
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    if url.drivername != "postgresql":
        return url
    default = url.get_dialect().driver
    others = (driver for driver in _DRIVERS if driver != default and installed(driver))
    other = None if installed(default) else next(others, None)
    return url if other is None else url.set(drivername=f"postgresql+{other}")
