"""``application_name`` of PostgreSQL sessions: the request id, as long as a transaction lasts."""

import logging
from functools import cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from c2c_logging._context import CURRENT

_LOG = logging.getLogger(__name__)
# PEP 249, paramstyle, and what asyncpg's adapter takes.
_PARAMETERS = {"pyformat": "%s", "format": "%s", "qmark": "?", "numeric": ":1", "numeric_dollar": "$1"}
# PostgreSQL cuts longer names (NAMEDATALEN).
_LONGEST = 63


def tag_transactions() -> None:
    """Have each transaction, of engines made before and after, carry the id. Twice is the same as once."""
    if not event.contains(Engine, "begin", _tag):
        event.listen(Engine, "begin", _tag)


def untag_transactions() -> None:
    """Take ``tag_transactions`` back."""
    if event.contains(Engine, "begin", _tag):
        event.remove(Engine, "begin", _tag)


def _tag(connection: Connection) -> None:
    context = CURRENT.get()
    if context is None or not context.sources.sql or connection.dialect.name != "postgresql":
        return
    dbapi: Any = connection.connection
    if getattr(dbapi.dbapi_connection, "autocommit", False):
        return  # nothing to be local to
    statement = _statement(connection.dialect.paramstyle)
    parameters = (context.request_id[:_LONGEST],)
    try:
        cursor = dbapi.cursor()
        try:
            cursor.execute(statement, parameters)
        finally:
            cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:
        _fail(connection, statement, error)


@cache
def _statement(paramstyle: str) -> str:
    # Local to the transaction: what the pool gets back is as it was. SET takes no parameter under psycopg 3.
    return f"SELECT set_config('application_name', {_PARAMETERS.get(paramstyle, '%s')}, true)"  # a placeholder


def _fail(connection: Connection, statement: str, error: Any) -> None:
    """Say that the connection is lost as SQLAlchemy says it; whatever else is wrong is not worth an exception."""
    dbapi: Any = connection.connection
    if connection.dialect.is_disconnect(error, dbapi, None):
        connection.invalidate(error)
        base = connection.dialect.loaded_dbapi.Error
        raise DBAPIError.instance(statement, None, error, base, connection_invalidated=True) from error
    _LOG.debug("application_name can't be set", exc_info=error)
    dbapi.rollback()
