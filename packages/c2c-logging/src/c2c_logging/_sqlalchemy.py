"""``application_name`` of PostgreSQL sessions: the request id, as long as a transaction lasts."""

import logging
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

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
    if context is None or not context.sql or connection.dialect.name != "postgresql":
        return
    dbapi: Any = connection.connection
    if getattr(dbapi.dbapi_connection, "autocommit", False):
        return  # nothing to be local to
    parameter = _PARAMETERS.get(connection.dialect.paramstyle, "%s")
    try:
        cursor = dbapi.cursor()
        try:
            # Local to the transaction: what the pool gets back is as it was. SET takes no parameter under psycopg 3.
            cursor.execute(
                f"SELECT set_config('application_name', {parameter}, true)",  # a placeholder
                (context.request_id[:_LONGEST],),
            )
        finally:
            cursor.close()
    except Exception:  # noqa: BLE001 # a lost connection: the statement that follows says so, in SQLAlchemy's words
        _LOG.debug("application_name can't be set", exc_info=True)
