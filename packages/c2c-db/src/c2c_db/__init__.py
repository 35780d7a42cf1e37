"""Primary and replica sessions for Pyramid services on SQLAlchemy."""

from c2c_db._application import databases
from c2c_db._database import Database
from c2c_db._directives import create_session, init, setup_session
from c2c_db._engines import engine_name
from c2c_db._errors import DatabaseError, MaintenanceError, NoReplicaError, ReadOnlySessionError, UnavailableError
from c2c_db._includeme import includeme
from c2c_db._observers import Decided, Probed, StateChanged
from c2c_db._replica_state import State
from c2c_db._roles import Role
from c2c_db._routing import Decision, route_name
from c2c_db._running import NamedEngine, ReplicaStatus, RunningDatabase
from c2c_db._scope import use_primary, use_replica
from c2c_db._scoped_session import RoutedSession
from c2c_db._session import DatabaseSession
from c2c_db._settings import DbSettings
from c2c_db.models_graph import generate_model_graph

__all__ = [
    "Database",
    "DatabaseError",
    "DatabaseSession",
    "DbSettings",
    "Decided",
    "Decision",
    "MaintenanceError",
    "NamedEngine",
    "NoReplicaError",
    "Probed",
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
    "engine_name",
    "generate_model_graph",
    "includeme",
    "init",
    "route_name",
    "setup_session",
    "use_primary",
    "use_replica",
]
