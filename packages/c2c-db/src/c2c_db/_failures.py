"""What an error of the database means: is it away, busy, or does it not take writes?"""

import enum
import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


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
    """Return the SQLSTATE of a driver's error: psycopg2 calls it pgcode, psycopg 3 sqlstate."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
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
    if error.statement is None and isinstance(error, OperationalError) and (state is None or state.startswith("08")):
        # It failed before a statement: no connection. (A commit that fails has a SQLSTATE.)
        return Failure.LOST
    if state == _SERIALIZATION_FAILURE and "recovery" in str(error.orig):
        return Failure.CONFLICT
    return None


def _is_read_only_sqlite(error: Any) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_READONLY
