"""Primary and replica sessions for Pyramid services on SQLAlchemy."""

import itertools
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.interfaces import ITweens
from sqlalchemy import Engine

from c2c_broadcast.requests import include_light
from c2c_db._database import Application, Database, Decided, Observer, RunningDatabase, application_of, databases
from c2c_db._failures import DatabaseError, MaintenanceError, NoReplicaError, ReadOnlySessionError, UnavailableError
from c2c_db._maintenance import add_maintenance_view
from c2c_db._replica import DbSettings, ReplicaStatus, State
from c2c_db._scope import TWEEN, Condition, Role, route_name, use_primary, use_replica
from c2c_db._server import StateChanged
from c2c_db._session import DatabaseSession, RoutedSession
from c2c_db.models_graph import generate_model_graph

__all__ = [
    "Database",
    "DatabaseError",
    "DatabaseSession",
    "DbSettings",
    "Decided",
    "MaintenanceError",
    "NoReplicaError",
    "ReadOnlySessionError",
    "ReplicaStatus",
    "Role",
    "RoutedSession",
    "RunningDatabase",
    "State",
    "StateChanged",
    "UnavailableError",
    "create_session",
    "databases",
    "generate_model_graph",
    "includeme",
    "init",
    "route_name",
    "setup_session",
    "use_primary",
    "use_replica",
]

_LOG = logging.getLogger(__name__)


def setup_session(
    config: Configurator,
    master_prefix: str = "sqlalchemy",
    slave_prefix: str | None = None,
    force_master: Iterable[Condition] | None = None,
    force_slave: Iterable[Condition] | None = None,
) -> tuple[RoutedSession, Engine, Engine]:
    """Set a database up from ini keys, and return its session, the primary's engine and the replica's.

    ``{master_prefix}.url``, ``{slave_prefix}.url`` and create_engine's options by the same prefixes are read from the
    settings. ``force_master`` and ``force_slave`` are regular expressions matched at the start of
    ``"{METHOD} {path}"``, or ``route_name(...)``; ``force_master`` wins.

    Raises:
        ConfigurationError: No URL, one that can't be read, or a pattern that does not compile.
    """
    database = Database.from_settings(
        config.get_settings(), master_prefix, slave_prefix, force_master=force_master, force_slave=force_slave
    )
    session = _run(config, database).scoped_session
    return session, session.c2c_rw_bind, session.c2c_ro_bind


def create_session(
    config: Configurator | None,
    name: str,
    url: str,
    slave_url: str | None = None,
    force_master: Iterable[Condition] | None = None,
    force_slave: Iterable[Condition] | None = None,
    **engine_config: Any,
) -> RoutedSession:
    """Set a database up from URLs, and return its session; ``config`` may be None in a script.

    The engines are named ``{name}_master`` and ``{name}_slave``; ``engine_config`` is create_engine's.
    """
    database = Database(
        url=url,
        replica_urls=(slave_url,) if slave_url else (),
        name=name,
        engine_name=f"{name}_master",
        replica_engine_name=f"{name}_slave",
        force_master=force_master,
        force_slave=force_slave,
        options=engine_config,
    )
    return (RunningDatabase(database, Application()) if config is None else _run(config, database)).scoped_session


def init(
    config: Configurator,
    master_prefix: str = "sqlalchemy",
    slave_prefix: str | None = None,
    force_master: Iterable[Condition] | None = None,
    force_slave: Iterable[Condition] | None = None,
    name: str = "dbsession",
) -> None:
    """Set a database up from ini keys, as ``setup_session`` does, and give it to requests as ``request.dbsession``."""
    more = {"force_master": force_master, "force_slave": force_slave, "name": name}
    add_database(config, Database.from_settings(config.get_settings(), master_prefix, slave_prefix, **more))


def add_database(config: Configurator, database: Database, name: str | None = None) -> None:
    """Set a database up, and give it to requests as ``request.{database.name}``: ``config.add_database(...)``.

    ``name``, where it is given, is the attribute instead, and of a second database also the name of its engines.
    """
    if name is not None:
        database = replace(database, name=name)
    running = _run(config, database)
    config.add_request_attribute(database.name, running)


def add_db_observer(config: Configurator, observer: Observer) -> None:
    """Call ``observer(event)`` with each ``Decided``, ``StateChanged`` and ``ReplicaStatus`` (of a probe).

    It is called where it happens, in requests too, so it must be quick; what it raises is logged once.
    """
    application_of(config.registry).observers.append(observer)


def _run(config: Configurator, database: Database) -> RunningDatabase:
    config.include("c2c_db")
    application = application_of(config.registry)
    running = RunningDatabase(database, application)
    config.action(("c2c database", running.name), None)  # two of one name are a conflict
    application.databases[running.name] = running
    return running


def includeme(config: Configurator) -> None:
    """Add databases: ``config.include("c2c_db")``. Includes pyramid_tm.

    Gives ``config.add_database(...)`` and ``config.add_db_observer(...)``; answers 503 where the database can't do
    what is asked of it now; and, where it is enabled, adds the view of maintenance mode.
    """
    config.include("c2c_broadcast")
    include_light(config, "pyramid_tm")
    application = application_of(config.registry)
    config.add_directive("add_database", add_database)
    config.add_directive("add_db_observer", add_db_observer)
    config.add_tween(TWEEN, over="pyramid_tm.tm_tween_factory")
    config.include("c2c_db._failures")
    add_maintenance_view(config, application.maintenance, enabled=application.settings.maintenance_view_enabled)
    # After all tweens were added.
    config.action(None, _say_what_loses_marks, args=(config.registry,), order=PHASE3_CONFIG + 1000)


def _say_what_loses_marks(registry: Any) -> None:
    """Say which tweens may: the server answers what they raise after a commit, by no response that has a mark."""
    tweens: Any = registry.queryUtility(ITweens)
    names = [name for name, _ in tweens.explicit or tweens.implicit()]
    above = [name for name in itertools.takewhile(lambda name: name != TWEEN, names) if not name.startswith("c2c_")]
    if above and any(database.leaves_marks for database in databases(registry).values()):
        _LOG.warning(
            "What %s raises after a commit, and no other tween answers, is the server's own 500: its client may not "
            "read what it wrote for a moment. Put it under c2c_db's tween (%s), or answer its exceptions above it",
            ", ".join(above),
            TWEEN,
        )
