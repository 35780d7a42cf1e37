"""``application_name`` of PostgreSQL sessions: the request id, as long as a transaction lasts."""

import contextlib
import logging
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from c2c_logging._request_ids import CURRENT, clean

_LOG = logging.getLogger(__name__)
_LONGEST = 63  # PostgreSQL cuts longer names (NAMEDATALEN)


def tag_transactions() -> None:
    """Have each transaction, of engines made before and after, carry the id. Twice is the same as once."""
    if not event.contains(Engine, "begin", _tag):
        event.listen(Engine, "begin", _tag)


def _tag(connection: Connection) -> None:
    context = CURRENT.get()
    if context is None or not context.settings.sql_request_id or connection.dialect.name != "postgresql":
        return
    dbapi: Any = connection.connection
    if getattr(dbapi.dbapi_connection, "autocommit", False):
        return  # nothing to be local to
    # Local to the transaction: what the pool gets back is as it was. SET is no query (SELECT set_config would be), so
    # that the application may still begin with SET TRANSACTION; it takes no parameter, and the id has no quote in it.
    statement = f"SET LOCAL application_name = '{clean(context.request_id)[:_LONGEST]}'"
    try:
        with contextlib.closing(dbapi.cursor()) as cursor:
            cursor.execute(statement)
    except connection.dialect.loaded_dbapi.Error as error:
        # That the connection is lost is said as SQLAlchemy says it; whatever else is wrong is not worth an exception.
        if connection.dialect.is_disconnect(error, dbapi, None):
            connection.invalidate(error)
            base = connection.dialect.loaded_dbapi.Error
            raise DBAPIError.instance(statement, None, error, base, connection_invalidated=True) from error
        _LOG.debug("application_name can't be set", exc_info=error)
        dbapi.rollback()
