"""What an error in the database tells about its servers, and how it reads for who caused it."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from c2c_db._errors import DatabaseError, MaintenanceError, ReadOnlySessionError, read_only_message
from c2c_db._failures import Failure, failure_of
from c2c_db._read_only import is_enforced, user_of
from c2c_db._routing import MAINTENANCE
from c2c_db._scope import current_scope

if TYPE_CHECKING:
    from c2c_db._running import RunningDatabase


def watch_errors(database: "RunningDatabase") -> None:
    """Listen to the errors of a database's engines."""

    def on_primary(context: ExceptionContext) -> BaseException | None:
        failure = _failure(context)
        if failure is Failure.READ_ONLY:
            if context.connection is not None and is_enforced(context.connection):
                return _read_only(database, context)
            # The primary takes no writes any more: it was demoted, or its host name means another server now.
            context.is_disconnect = True
            database.primary.failed(str(context.original_exception), takes_connections=True)
        elif failure is Failure.LOST and context.connection is None:
            database.primary.failed(str(context.original_exception), takes_connections=False)
        return None

    def on_replica(context: ExceptionContext) -> BaseException | None:
        return _read_only(database, context) if _failure(context) is Failure.READ_ONLY else None

    _listen(database.primary.engine, on_primary)
    for engine in database.replicas.by_engine:
        _listen(engine, on_replica)
    event.listen(database.primary.engine, "connect", lambda _raw, _record: database.primary.connected())


def _listen(engine: Engine, listener: object) -> None:
    event.listen(engine, "handle_error", listener)  # type: ignore[arg-type] # SQLAlchemy calls it by name


def _failure(context: ExceptionContext) -> Failure | None:
    error = context.sqlalchemy_exception
    # SQLAlchemy before 2.0.5 does not tell of errors of a ping, nor know the word.
    return None if error is None or getattr(context, "is_pre_ping", False) else failure_of(error)


def _read_only(database: "RunningDatabase", context: ExceptionContext) -> DatabaseError:
    # The mode may have ended since the session began: what counts is why it is read-only.
    user = user_of(context.connection) if context.connection is not None else None
    scope, decision = user or (current_scope(), None)
    if decision is MAINTENANCE:
        retry_after = database.application.maintenance.retry_after()
        return MaintenanceError("The service is read-only for maintenance: write again later", retry_after)
    return ReadOnlySessionError(read_only_message(scope, decision.reason if decision else "asked"))
