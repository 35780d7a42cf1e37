"""Errors of databases: what status they become, by class and SQLSTATE, and what everybody may read of them.

No driver and no SQLAlchemy is imported: an exception is known by the names of its classes (PEP 249 gives them the same
names in every driver) and by its SQLSTATE (PostgreSQL, appendix A), ``pgcode`` in psycopg2, ``sqlstate`` in psycopg 3.
"""

import re
from typing import Any

from c2c_rest._outcome import Outcome, text_of

RETRY_AFTER = 5
"""Seconds after which a client may try again what a database refused."""

_DRIVERS = frozenset(
    {"psycopg2", "psycopg", "psycopg_pool", "asyncpg", "pg8000", "sqlite3", "MySQLdb", "pymysql", "oracledb"}
)
_BAD_DATA = frozenset({"IntegrityError", "DataError"})
_NO_CONNECTION = frozenset({"OperationalError", "InterfaceError", "PoolTimeout"})
# Connection exceptions; insufficient resources (too many connections, disk full); read-only transaction; idle
# transaction ended; administrator's shutdown, crash, not yet up, database dropped, idle session ended.
_AWAY = re.compile(r"08...|53...|25006|25P0[34]|57P0[1-5]")
_SQLITE_AWAY = re.compile(r"SQLITE_(?:BUSY|LOCKED|READONLY|CANTOPEN|FULL)")
# What SQLAlchemy adds to the text of the driver.
_STATEMENT = re.compile(r"\s*\[SQL: .*|\s*\(Background on this error at: \S+\)", re.DOTALL)
# What PostgreSQL adds: the line of the statement where the error is.
_LINE = re.compile(r"\s*^LINE \d+: .*", re.DOTALL | re.MULTILINE)
_CLASS = re.compile(r"^\([\w.]+\) ")


def database_outcome(error: BaseException) -> Outcome | None:
    """Return what a database's error becomes, None for an error that is none."""
    names = {cls.__name__ for cls in type(error).__mro__ if _package(cls) in _DRIVERS or _package(cls) == "sqlalchemy"}
    if not names:
        return None
    cause = getattr(error, "orig", None) or error
    message, detail = _public_text(error, cause), text_of(error)
    if names & _BAD_DATA:
        return Outcome(status=400, message=message, detail=detail)
    if _is_away(error, cause, names):
        return Outcome(status=503, message=message, detail=detail, headers=(("Retry-After", str(RETRY_AFTER)),))
    return Outcome(status=500, message=message, detail=detail)


def _package(cls: type[Any]) -> str:
    return cls.__module__.partition(".")[0]


def _is_away(error: BaseException, cause: Any, names: set[str]) -> bool:
    """Tell whether the database is away, full or read-only: the same request may succeed a little later."""
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state:
        return bool(_AWAY.fullmatch(str(state)))
    sqlite = getattr(cause, "sqlite_errorname", None)
    if sqlite:
        return bool(_SQLITE_AWAY.match(sqlite))
    if getattr(error, "connection_invalidated", False):
        return True
    if _package(type(error)) == "sqlalchemy" and type(error).__name__ in {"TimeoutError", "DisconnectionError"}:
        return True
    # A connection that was refused, lost or timed out has no SQLSTATE: no server was there to give one.
    postgresql = _package(type(cause)).startswith(("psycopg", "asyncpg", "pg8000"))
    return postgresql and bool(names & _NO_CONNECTION)


def _public_text(error: BaseException, cause: Any) -> str:
    """Return the text of the error without statement, its line in the server's message, and SQLAlchemy's link."""
    diagnostics = getattr(cause, "diag", None)
    primary = getattr(diagnostics, "message_primary", None)
    if primary:
        more = getattr(diagnostics, "message_detail", None)
        return f"{primary}\nDETAIL: {more}" if more else str(primary)
    text = _CLASS.sub("", _STATEMENT.sub("", text_of(error)))
    return _LINE.sub("", text).strip() or type(error).__name__
