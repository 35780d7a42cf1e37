"""What ``config.include("c2c_db")`` does."""

from pyramid.config import Configurator

from c2c_db._application import application_of
from c2c_db._directives import add_database, add_db_observer
from c2c_db._error_views import add_error_views
from c2c_db._maintenance_view import add_maintenance_view
from c2c_db._tween import NAME


def includeme(config: Configurator) -> None:
    """Add databases: ``config.include("c2c_db")``. Includes pyramid_tm.

    Gives ``config.add_database(...)`` and ``config.add_db_observer(...)``; answers 503 where the database can't do
    what is asked of it now; and, where it is enabled, adds the view of maintenance mode.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    config.include("pyramid_tm")
    application = application_of(config.registry)
    config.add_directive("add_database", add_database)
    config.add_directive("add_db_observer", add_db_observer)
    config.add_tween(NAME, over="pyramid_tm.tm_tween_factory")
    add_error_views(config)
    if application.settings.maintenance_view_enabled:
        add_maintenance_view(config)
