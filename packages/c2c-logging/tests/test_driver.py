"""A URL of PostgreSQL without a driver means the one that is installed."""

import sys
from importlib import import_module

import psycopg
import pytest
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.engine import make_url

from c2c_logging._log_table import engine_of


def test_the_driver_that_is_there(monkeypatch):
    """Of psycopg 3 and psycopg2, whichever SQLAlchemy takes for the default one."""
    assert engine_of("postgresql://u:p@h/d").dialect.driver == "psycopg"
    default = make_url("postgresql://").get_dialect()
    monkeypatch.setattr(default, "import_dbapi", classmethod(lambda cls: import_module("driver_that_is_absent")))
    monkeypatch.setattr(psycopg2.PGDialect_psycopg2, "import_dbapi", classmethod(lambda cls: psycopg))
    engine = engine_of("postgresql://u:p@h/d")
    assert (engine.dialect.driver, engine.url.database) == ("psycopg2", "d")


def test_a_driver_that_is_named_is_kept(monkeypatch):
    """What is named and absent is an error, not another driver."""
    assert engine_of("postgresql+psycopg://h/d").url.drivername == "postgresql+psycopg"
    assert engine_of("sqlite://").url.drivername == "sqlite"
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ModuleNotFoundError):
        engine_of("postgresql+psycopg2://h/d")
