import pytest
from sqlalchemy.engine import make_url

from c2c_logging._log_table import is_installed, with_driver

DEFAULT = make_url("postgresql://").get_dialect().driver
OTHER = "psycopg2" if DEFAULT == "psycopg" else "psycopg"


@pytest.mark.parametrize(
    ("url", "installed", "drivername"),
    [
        ("postgresql://h/d", {DEFAULT, OTHER}, "postgresql"),
        ("postgresql://h/d", {DEFAULT}, "postgresql"),
        ("postgresql://h/d", {OTHER}, f"postgresql+{OTHER}"),
        ("postgres://h/d", {OTHER}, f"postgresql+{OTHER}"),
        ("postgresql://h/d", set(), "postgresql"),
        (f"postgresql+{DEFAULT}://h/d", {OTHER}, f"postgresql+{DEFAULT}"),
        ("sqlite://", set(), "sqlite"),
    ],
)
def test_the_driver_that_is_there(url: str, installed: set[str], drivername: str) -> None:
    """A URL without a driver means the one that is installed; the rest of it stays."""
    found = with_driver(url, installed.__contains__)
    assert (found.drivername, found.database) == (drivername, make_url(url).database)


def test_what_is_installed() -> None:
    """A module that can be found is installed."""
    assert is_installed("sqlalchemy")
    assert not is_installed("psycopg_of_the_test")
