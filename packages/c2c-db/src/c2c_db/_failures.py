"""What goes wrong with a database: what an error means, how the application sees it, and how it is answered."""

import enum
import sqlite3
from typing import Any, Self

from pyramid.config import PHASE2_CONFIG, Configurator
from pyramid.exceptions import PredicateMismatch
from pyramid.httpexceptions import HTTPException, HTTPServiceUnavailable
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from c2c_broadcast import ANSWERS_EXCEPTIONS, json_error


class Failure(enum.StrEnum):
    """Why a database could not do what was asked of it."""

    LOST = "connection error"
    READ_ONLY = "read-only"
    CONFLICT = "recovery conflict"
    EXHAUSTED = "pool exhausted"


OF_DATABASES = (DBAPIError, PoolTimeoutError)
# Class 57, operator intervention: admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped.
_SHUTDOWN = frozenset({"57P01", "57P02", "57P03", "57P04"})
_READ_ONLY_TRANSACTION = "25006"
_SERIALIZATION_FAILURE = "40001"


def sqlstate(error: Any) -> str | None:
    """Return the SQLSTATE of a driver's error: pgcode of psycopg2, sqlstate of psycopg 3, C of pg8000."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if not state and isinstance(error, Exception) and error.args and isinstance(error.args[0], dict):
        state = error.args[0].get("C")
    return str(state) if state else None


def failure_of(error: BaseException) -> Failure | None:
    """Return what an error says about the server; None where it is about the statement."""
    if isinstance(error, PoolTimeoutError):
        return Failure.EXHAUSTED
    if not isinstance(error, DBAPIError):
        return None
    cause, state = error.orig, sqlstate(error.orig)
    read_only_sqlite = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY
    if state == _READ_ONLY_TRANSACTION or read_only_sqlite:
        return Failure.READ_ONLY
    if error.connection_invalidated or state in _SHUTDOWN:
        return Failure.LOST
    no_server = isinstance(error, OperationalError | InterfaceError) and (state is None or state.startswith("08"))
    if error.statement is None and no_server:
        # It failed before a statement: no connection. (A commit that fails has a SQLSTATE.)
        return Failure.LOST
    return Failure.CONFLICT if state == _SERIALIZATION_FAILURE and "recovery" in str(cause) else None


class DatabaseError(Exception):
    """The base of c2c_db's errors."""


class ReadOnlySessionError(DatabaseError):
    """A request wrote in a session of the replica side; the message names the route and the remedies."""

    @classmethod
    def of(cls, session: Any) -> Self:
        """Say who wrote, and what to do; ``session`` is None where the engine itself was used."""
        if session is None or session.scope.request is None:
            return cls("A write in a read-only session of the replica side: leave use_replica() before writing")
        target, route = session.scope.target, session.scope.route
        who = f"Route {route!r} ({target})" if route else target
        remedy = {
            "asked": "leave use_replica() before writing",
            "force_slave": "take it out of force_slave",
        }.get(
            session.decision.reason,
            f"use POST, PUT, PATCH or DELETE, or force_master=[{target!r}], or `with use_primary():`",
        )
        return cls(f"{who} writes in a read-only session of the replica side: {remedy}")


class UnavailableError(DatabaseError):
    """The database can't do this now: a 503 with ``Retry-After``, in seconds."""

    http_status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MaintenanceError(UnavailableError):
    """A write while maintenance mode is on."""


class NoReplicaError(UnavailableError):
    """A read without a usable replica, where ``C2C_DB_REPLICA_FAILOVER`` is ``error``."""


_MESSAGES = {
    Failure.LOST: "The database is not reachable at the moment: try again",
    Failure.READ_ONLY: "The database takes no writes at the moment: try again",
    Failure.CONFLICT: "The database could not finish the read: try again",
    Failure.EXHAUSTED: "All connections to the database are in use: try again",
}


def includeme(config: Configurator) -> None:
    """Register the view, for our own errors and for SQLAlchemy's, unless another package answers all exceptions."""

    def register() -> None:
        if ANSWERS_EXCEPTIONS not in config.registry:
            for error in (UnavailableError, *OF_DATABASES):
                config.add_exception_view(_view, context=error)

    # Before the views are made, after every package was included.
    config.action(("c2c_db", "error views"), register, order=PHASE2_CONFIG)


def _view(error: Exception, _request: Any) -> HTTPException:
    failure = failure_of(error)
    if failure is None and not isinstance(error, UnavailableError):
        raise PredicateMismatch("it is about the statement, not about the server")
    message = str(error) if failure is None else _MESSAGES[failure]
    return json_error(HTTPServiceUnavailable, message, {"Retry-After": str(getattr(error, "retry_after", 1))})
