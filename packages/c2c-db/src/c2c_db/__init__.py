"""Primary and replica sessions for Pyramid services on SQLAlchemy."""

from c2c_db._database import Database, Decided, RunningDatabase, databases
from c2c_db._directives import create_session, includeme, init, setup_session
from c2c_db._failures import DatabaseError, MaintenanceError, NoReplicaError, ReadOnlySessionError, UnavailableError
from c2c_db._replica import Probed, ReplicaStatus, State
from c2c_db._scope import Decision, Role, route_name, use_primary, use_replica
from c2c_db._server import StateChanged
from c2c_db._session import DatabaseSession, RoutedSession
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
    "generate_model_graph",
    "includeme",
    "init",
    "route_name",
    "setup_session",
    "use_primary",
    "use_replica",
]
