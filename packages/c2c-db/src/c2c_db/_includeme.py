"""What ``config.include("c2c_db")`` does."""

from pyramid.config import Configurator

from c2c_broadcast import load
from c2c_db._directives import add_database, databases
from c2c_db._settings import DbSettings
from c2c_db._tween import NAME


def includeme(config: Configurator) -> None:
    """Add databases: ``config.include("c2c_db")``. Includes pyramid_tm.

    Gives ``config.add_database(...)``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    config.include("pyramid_tm")
    load(DbSettings, config.get_settings())
    databases(config.registry)
    config.add_directive("add_database", add_database)
    config.add_tween(NAME, over="pyramid_tm.tm_tween_factory")
