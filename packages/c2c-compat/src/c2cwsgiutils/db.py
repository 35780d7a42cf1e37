"""Primary and replica sessions; those of 6: a factory for requests, and functions for scripts."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import zope.sqlalchemy
from pyramid.config import Configurator, global_registries
from sqlalchemy import Engine, engine_from_config
from sqlalchemy.orm import Session, sessionmaker

import c2c_db
from c2c_compat._era import warn_of_six

create_session, setup_session = c2c_db.create_session, c2c_db.setup_session


class SessionFactory:
    """Sessions of an application's database: ``factory(request)`` by the request, or on the side that is asked for."""

    def __init__(self, running: Any, attribute: str, master: Iterable[Any] = (), slave: Iterable[Any] = ()) -> None:
        self._attribute = attribute
        # Patterns of "METHOD path", of requests that go to the one or the other whatever else holds.
        self.master_paths, self.slave_paths = [list(map(re.compile, patterns)) for patterns in (master, slave)]
        engines = [one.engine for one in running.engines]
        self.rw_engine: Engine = engines[0]
        self.ro_engine: Engine = engines[1] if len(engines) > 1 else engines[0]
        # What health checks look for, as in a scoped session of c2c_db.
        self.c2c_rw_bind, self.c2c_ro_bind = self.rw_engine, self.ro_engine

    def __call__(self, request: Any, readwrite: bool | None = None, **options: Any) -> Session:
        """Return the session of the request, or a new one on the primary (True) or the replica (False).

        A new one takes part in ``request.tm`` where the request has it.
        """
        if readwrite is None:
            session: Session = getattr(request, self._attribute)
            return session
        session = Session(bind=self.rw_engine if readwrite else self.ro_engine, **options)
        manager = getattr(request, "tm", None)
        return get_tm_session(lambda: session, manager) if manager is not None else session

    def engine_name(self, readwrite: bool) -> str:  # the documented call
        """Return the name of the engine for writing, or of that for reading."""
        return str((self.rw_engine if readwrite else self.ro_engine).logging_name)


def init(
    config: Configurator,
    master_prefix: str = "sqlalchemy",
    slave_prefix: str | None = None,
    force_master: Iterable[Any] | None = None,
    force_slave: Iterable[Any] | None = None,
) -> SessionFactory:
    """Set a database up from ini keys, give it to requests as ``request.dbsession``, and return its sessions' factory.

    Raises:
        ConfigurationError: As in ``c2c_db.setup_session``.
    """
    warn_of_six("c2cwsgiutils.db.init", config.registry)
    config.get_settings().setdefault("tm.manager_hook", "pyramid_tm.explicit_manager")
    config.include("c2c_db")
    known = set(c2c_db.databases(config.registry))
    c2c_db.init(config, master_prefix, slave_prefix, force_master, force_slave)
    found = c2c_db.databases(config.registry)
    running = next(found[name] for name in found if name not in known)
    factory = SessionFactory(running, "dbsession", force_master or (), force_slave or ())
    config.registry["dbsession_factory"] = factory
    return factory


def get_engine(settings: Mapping[str, Any], prefix: str = "sqlalchemy.") -> Engine:
    """Return the engine that the keys with this prefix describe."""
    return engine_from_config(dict(settings), prefix)


def get_session_factory(engine: Engine) -> "sessionmaker[Session]":
    """Return a factory of sessions on the engine."""
    return sessionmaker(bind=engine)


def get_tm_session(session_factory: Any, transaction_manager: Any) -> Session:
    """Return a new session that takes part in the transactions of the manager: nobody commits the session itself."""
    session: Session = session_factory()
    zope.sqlalchemy.register(session, transaction_manager=transaction_manager)
    return session


def get_tm_session_pyramid(session_factory: Any, transaction_manager: Any, request: Any) -> Session:
    """Return a new session of a request, that takes part in the transactions of the manager."""
    return get_tm_session(lambda: session_factory(request), transaction_manager)


def __getattr__(name: str) -> Any:
    """Give ``FORCE_READONLY``: whether the application that was made last is in maintenance mode."""
    if name != "FORCE_READONLY":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    registry = global_registries.last
    found = c2c_db.databases(registry).values() if registry is not None else ()
    return any(running.application.maintenance.readonly for running in found)
