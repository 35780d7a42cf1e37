"""The session of one request (or thread) on one side of a database."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker
from zope.sqlalchemy.datamanager import mark_changed

from c2c_db._failures import failure_of
from c2c_db._roles import Role
from c2c_db._statements import leave_no_state, writes

if TYPE_CHECKING:
    from c2c_db._routing import Decision
    from c2c_db._running import RunningDatabase
    from c2c_db._scope import Scope

_RECOVERABLE = (DBAPIError, PoolTimeoutError)
# More statements than this are not remembered; then nobody can say that the transaction may move.
_MOST_STATEMENTS = 200


class DatabaseSession(Session):
    """A session that knows its database, its side, and the transaction manager that it joins.

    Its engine is chosen when it is first needed, and holds until the session is closed.
    """

    role = Role.PRIMARY

    def __init__(
        self, *, database: "RunningDatabase", scope: "Scope", decision: "Decision", manager: Any, **options: Any
    ) -> None:
        super().__init__(**options)
        self.database = database
        self.scope = scope
        self.decision = decision
        self.manager = manager
        self.begun: Connection | None = None
        self._engine: Engine | None = None
        self._has_binds = bool(options.get("binds"))

    def get_bind(self, mapper: Any = None, *, clause: Any = None, bind: Any = None, **more: Any) -> Any:
        """Return the engine of this session's side; a bind that was given, for all or for some tables, comes first."""
        if bind is not None:
            return bind
        if self._has_binds:
            return super().get_bind(mapper, clause=clause, **more)
        if self._engine is None:
            self.bind = self._engine = self.database.steering.choose(self)
        return self._engine

    # zope.sqlalchemy itself does not notice what these do, unless it is an ORM statement, and rolls it back without a
    # word. SQLAlchemy has an event for the first three, which costs 2 us a statement, and reads an ORM statement twice.

    def execute(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement; the transaction has a change where it writes."""
        if writes(statement):
            mark_changed(self, self.manager)
        return super().execute(statement, *args, **kwargs)

    def scalar(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement and return its first value; the transaction has a change where it writes."""
        if writes(statement):
            mark_changed(self, self.manager)
        return super().scalar(statement, *args, **kwargs)

    def scalars(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement and return the first column; the transaction has a change where it writes."""
        if writes(statement):
            mark_changed(self, self.manager)
        return super().scalars(statement, *args, **kwargs)

    def bulk_save_objects(self, *args: Any, **kwargs: Any) -> None:
        """Insert or update objects in bulk; the transaction has a change."""
        mark_changed(self, self.manager)
        super().bulk_save_objects(*args, **kwargs)

    def bulk_insert_mappings(self, *args: Any, **kwargs: Any) -> None:
        """Insert mappings in bulk; the transaction has a change."""
        mark_changed(self, self.manager)
        super().bulk_insert_mappings(*args, **kwargs)

    def bulk_update_mappings(self, *args: Any, **kwargs: Any) -> None:
        """Update by mappings in bulk; the transaction has a change."""
        mark_changed(self, self.manager)
        super().bulk_update_mappings(*args, **kwargs)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Return the connection; on the primary the transaction is committed, as nobody sees what is done on it."""
        connection = super().connection(*args, **kwargs)
        if self.role is Role.PRIMARY:
            mark_changed(self, self.manager)
        return connection

    def close(self) -> None:
        """End the transaction; the next one chooses its engine anew."""
        super().close()
        self._engine = None
        self.begun = None


class ReplicaReads(DatabaseSession):
    """A session of the replica side: it moves to another server when its own fails, as long as nobody can tell."""

    role = Role.REPLICA

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._statements: list[Any] = []
        self.tried: list[Engine] = []

    def execute(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement, on another server where this one fails."""
        try:
            result = super().execute(statement, *args, **kwargs)
        except _RECOVERABLE as error:
            self._fail_over(error)
            return self.execute(statement, *args, **kwargs)
        self._remember(statement)
        return result

    def scalar(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement and return its first value, from another server where this one fails."""
        try:
            result = super().scalar(statement, *args, **kwargs)
        except _RECOVERABLE as error:
            self._fail_over(error)
            return self.scalar(statement, *args, **kwargs)
        self._remember(statement)
        return result

    def scalars(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement and return the first column, from another server where this one fails."""
        try:
            result = super().scalars(statement, *args, **kwargs)
        except _RECOVERABLE as error:
            self._fail_over(error)
            return self.scalars(statement, *args, **kwargs)
        self._remember(statement)
        return result

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Return the connection, of another server where this one fails; from now on the session stays there."""
        try:
            connection = super().connection(*args, **kwargs)
        except _RECOVERABLE as error:
            self._fail_over(error)
            return self.connection(*args, **kwargs)
        self._statements.append(connection)  # what is done on it nobody sees
        return connection

    def close(self) -> None:
        """End the transaction; that the server died after the last read is no error."""
        try:
            super().close()
        except DBAPIError as error:
            if failure_of(error) is None:
                raise
            self.invalidate()
            super().close()
        self._statements.clear()
        self.tried.clear()

    def _remember(self, statement: Any) -> None:
        if len(self._statements) <= _MOST_STATEMENTS:
            self._statements.append(statement)

    def _fail_over(self, error: Exception) -> None:
        """Move to another server and begin anew there; raise the error where that can't be done."""
        if not self._can_move():
            raise error
        other = self.database.steering.fail_over(self, error)
        if other is None:
            raise error
        # Nothing is written in a session of this side: what is rolled back are reads, done again when asked for.
        self.rollback()
        self.bind = self._engine = other

    def _can_move(self) -> bool:
        if self._engine is None or self.in_nested_transaction() or self.new or self.dirty or self.deleted:
            return False
        if not self._statements:
            return True
        if len(self._statements) > _MOST_STATEMENTS or self.database.isolates:
            return False
        return not any(isinstance(one, Connection) for one in self._statements) and leave_no_state(self._statements)


class FrozenSessionmaker(sessionmaker[DatabaseSession]):
    """A sessionmaker that stays as it was made: one that is re-configured hands other threads the wrong engine."""

    def configure(self, **_new: Any) -> None:
        """Refuse.

        Raises:
            TypeError: Always; session options are given when the database is set up.
        """
        raise TypeError("Sessions of c2c_db are not re-configured: give session options to Database(session_options=)")
