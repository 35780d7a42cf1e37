"""What goes wrong with a database: what an error means, how the application sees it, and how it is answered."""

import enum
import sqlite3
from typing import Any

from pyramid.config import PHASE2_CONFIG, Configurator
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
    return _failure_of_driver(error) if isinstance(error, DBAPIError) else None


def _failure_of_driver(error: DBAPIError) -> Failure | None:
    state = sqlstate(error.orig)
    if state == _READ_ONLY_TRANSACTION or _is_read_only_sqlite(error.orig):
        return Failure.READ_ONLY
    if error.connection_invalidated or state in _SHUTDOWN:
        return Failure.LOST
    no_server = isinstance(error, OperationalError | InterfaceError) and (state is None or state.startswith("08"))
    if error.statement is None and no_server:
        # It failed before a statement: no connection. (A commit that fails has a SQLSTATE.)
        return Failure.LOST
    if state == _SERIALIZATION_FAILURE and "recovery" in str(error.orig):
        return Failure.CONFLICT
    return None


def _is_read_only_sqlite(error: Any) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_READONLY


class DatabaseError(Exception):
    """The base of c2c_db's errors."""


class ReadOnlySessionError(DatabaseError):
    """A request wrote in a session of the replica side; the message names the route and the remedies."""


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


def read_only_message(target: str | None, route: str | None, reason: str) -> str:
    """Say who wrote in a read-only session, and what to do.

    ``target`` is ``"{METHOD} {path}"`` (None outside of requests), ``route`` its name, ``reason`` the decision's.
    """
    if target is None:
        return "A write in a read-only session of the replica side: leave use_replica() before writing"
    who = f"Route {route!r} ({target})" if route else target
    remedy = {
        "asked": "leave use_replica() before writing",
        "force_slave": "take it out of force_slave",
    }.get(reason, f"use POST, PUT, PATCH or DELETE, or force_master=[{target!r}], or `with use_primary():`")
    return f"{who} writes in a read-only session of the replica side: {remedy}"


_RETRY_AFTER = "1"
_MESSAGES = {
    Failure.LOST: "The database is not reachable at the moment: try again",
    Failure.READ_ONLY: "The database takes no writes at the moment: try again",
    Failure.CONFLICT: "The database could not finish the read: try again",
    Failure.EXHAUSTED: "All connections to the database are in use: try again",
}


class UnavailablePredicate:
    """View predicate: the exception is about the server (away, read-only, busy), not about the statement."""

    def __init__(self, value: bool, _info: Any) -> None:
        self._value = value

    def text(self) -> str:
        """Return what Pyramid shows of it."""
        return f"c2c_db_unavailable = {self._value}"

    phash = text

    def __call__(self, context: Any, request: Any) -> bool:
        """Tell whether it holds for this exception."""
        error = getattr(request, "exception", None) or context
        return (failure_of(error) is not None) is self._value


def add_error_views(config: Configurator) -> None:
    """Register the views, for our own errors and for SQLAlchemy's, unless another package answers all exceptions."""

    def register() -> None:
        if ANSWERS_EXCEPTIONS in config.registry:
            return
        config.add_exception_view(_our_view, context=UnavailableError)
        for error in (DBAPIError, PoolTimeoutError):
            config.add_exception_view(_sqlalchemy_view, context=error, c2c_db_unavailable=True)

    config.add_view_predicate("c2c_db_unavailable", UnavailablePredicate)
    # Before the views are made, after every package was included.
    config.action(("c2c_db", "error views"), register, order=PHASE2_CONFIG)


def _our_view(error: UnavailableError, _request: Any) -> HTTPException:
    return json_error(HTTPServiceUnavailable, str(error), {"Retry-After": str(error.retry_after)})


def _sqlalchemy_view(error: Exception, _request: Any) -> HTTPException:
    failure = failure_of(error)
    assert failure is not None  # the predicate's
    return json_error(HTTPServiceUnavailable, _MESSAGES[failure], {"Retry-After": _RETRY_AFTER})
