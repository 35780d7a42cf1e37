"""READ ONLY in the database: what reads can't write, whatever the application does."""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import QueuePool

from c2c_db._routing import Decision
from c2c_db._scope import Scope

_INFO = "c2c_db.read_only"
# PQTRANS_IDLE of libpq: no BEGIN yet.
_IDLE = 0
_USER = "c2c_db.user"


def can_enforce(engine: Engine) -> bool:
    """Tell whether read-only transactions are to be had: of PostgreSQL, and of SQLite in a file."""
    if engine.dialect.name == "sqlite":
        return isinstance(engine.pool, QueuePool)  # a connection in memory is shared by all sessions of a thread
    return engine.dialect.name == "postgresql"


def enforce_always(engine: Engine) -> None:
    """Make each connection of an engine read-only, from its start: no statement more than without it."""
    if can_enforce(engine):
        event.listen(engine, "connect", lambda raw, _record: _set(engine, raw, value=True))


def reset_on_return(engine: Engine) -> None:
    """Let connections that ``enforce`` made read-only go back to the pool as they were, and forget who had them."""

    def checkin(raw: Any, record: Any) -> None:
        record.info.pop(_USER, None)
        if record.info.pop(_INFO, None) and raw is not None:
            _set(engine, raw, value=False)

    event.listen(engine, "checkin", checkin)


def enforce(connection: Connection) -> None:
    """Make a transaction read-only: its BEGIN says so, without a round trip, unless a listener was faster."""
    if connection.info.get(_INFO):
        return
    connection.info[_INFO] = True
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "postgresql" and raw.info.transaction_status != _IDLE:
        cursor = raw.cursor()
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.close()
    else:
        _set(connection.engine, raw, value=True)


def note_user(connection: Connection, scope: Scope, decision: Decision) -> None:
    """Keep with a connection who has it, and why that session is of the replica side."""
    connection.info[_USER] = (scope, decision)


def user_of(connection: Connection) -> tuple[Scope, Decision] | None:
    """Return who has a connection, and why the session is of the replica side; None where none of that side has it."""
    return None if connection.invalidated else connection.info.get(_USER)


def is_enforced(connection: Connection) -> bool:
    """Tell whether ``enforce`` made the transaction of a connection read-only."""
    return not connection.invalidated and bool(connection.info.get(_INFO))


def _set(engine: Engine, raw: Any, *, value: bool) -> None:
    dialect: Any = engine.dialect
    if dialect.name == "sqlite":
        raw.execute(f"PRAGMA query_only = {'ON' if value else 'OFF'}").close()
    else:
        dialect.set_readonly(raw, value)
