"""Sessions: of a request (or thread) on one side of a database, joined to its transaction, moved where a server fails.

``DBSession`` is a ``scoped_session`` over a ``sessionmaker``, so that what is documented for these holds for it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from zope.sqlalchemy import ZopeTransactionEvents
from zope.sqlalchemy.datamanager import join_transaction, mark_changed

from c2c_db._failures import OF_DATABASES, failure_of
from c2c_db._scope import Decision, Role, Scope, current_scope
from c2c_db._statements import Effect, effect_of, is_plain_read

SESSION = "c2c_db_session"
"""The attribute of a session's connection that tells whose it is: ``info`` would take four calls a statement."""


class Steering(Protocol):
    """What a session asks of its database."""

    isolates: bool

    def decide(self, scope: Scope) -> Decision: ...
    def choose(self, session: "DatabaseSession") -> Engine: ...
    def fail_over(self, session: "DatabaseSession", error: Exception) -> Engine | None: ...
    def begun(self, session: "DatabaseSession", connection: Connection) -> None: ...
    def committing(self, session: "DatabaseSession") -> None: ...
    def committed(self, session: "DatabaseSession") -> None: ...


class DatabaseSession(Session):
    """A session that knows its side, and the transaction manager that it joins.

    Its engine is chosen when it is first needed, and holds until the session is closed. One of the replica side moves
    to another server when its own fails, as long as nobody can tell.
    """

    steering: Steering
    scope: Scope
    decision: Decision
    manager: Any = None
    role = Role.PRIMARY

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_bound = bool(options.get("bind") or options.get("binds") or args)
        self._engine: Engine | None = None
        self.begun: dict[Engine, Connection] = {}
        self.effect = Effect.READS
        self.may_write = True
        self.is_movable = True  # nothing was done that the next server would not know
        self.statement: str | None = None  # the last one: whether it could be moved after counts when more follows
        self.tried: list[Engine] = []

    def get_bind(self, mapper: Any = None, *, clause: Any = None, bind: Any = None, **more: Any) -> Any:
        """Return the engine of this session's side; a bind that was given, for all or for some tables, comes first."""
        if bind is not None:
            return bind
        if self._is_bound:
            return super().get_bind(mapper, clause=clause, **more)
        if self._engine is None:
            self.bind = self._engine = self.steering.choose(self)
        return self._engine

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement; a read goes to another server where its own fails."""
        return self._read(super().execute, args, kwargs)

    def scalar(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement and return its first value; a read goes to another server where its own fails."""
        return self._read(super().scalar, args, kwargs)

    def scalars(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement and return its first column; a read goes to another server where its own fails."""
        return self._read(super().scalars, args, kwargs)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Return the connection; the transaction is committed then, as nobody sees all that is done on it."""
        connection: Connection = self._read(super().connection, args, kwargs)
        self.is_movable = False
        self.note(Effect.UNSURE)
        return connection

    def note(self, effect: Effect) -> None:
        """Note what was done; where it may be a change, the transaction has one, and is committed."""
        if effect > self.effect and self.may_write:
            self.effect = effect
            mark_changed(self, self.manager)

    def close(self) -> None:
        """End the transaction; the next one chooses its engine anew. That the server died since is no error."""
        try:
            super().close()
        except DBAPIError as error:
            if failure_of(error) is None:
                raise
            self.invalidate()
            super().close()
        self._engine = None
        self.begun.clear()
        self.tried.clear()
        self.effect = Effect.READS
        self.is_movable = True
        self.statement = None

    def _read(self, read: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        while True:
            try:
                return read(*args, **kwargs)
            except OF_DATABASES as error:
                self._fail_over(error)

    def _fail_over(self, error: Exception) -> None:
        """Move to another server and begin anew there; raise the error where that can't be done."""
        # What is to be written is bound to this transaction, which is the one that the transaction manager knows.
        bound = self.effect is not Effect.READS or self.new or self.dirty or self.deleted
        if (
            self._engine is None
            or self.role is Role.PRIMARY
            or not self.is_movable
            or bound
            or self.in_nested_transaction()
        ):
            raise error
        other = self.steering.fail_over(self, error)
        if other is None:
            raise error
        # Nothing is written in a session of this side: what is rolled back are reads, done again when asked for.
        self.rollback()
        self.begun.clear()
        self.statement = None
        self.bind = self._engine = other


def watch_statements(engine: Engine) -> None:
    """Let sessions know what their statements on an engine do, whichever way they come: ORM, Core, text, driver.

    By events of the dialect: one of the engine makes SQLAlchemy take 18 more calls a statement.
    """

    def before(_cursor: Any, statement: str, *parameters_and_context: Any) -> None:
        session: DatabaseSession | None = vars(parameters_and_context[-1].root_connection).get(SESSION)
        if session is None:
            return
        if session.effect is not Effect.WRITES and (effect := effect_of(statement)) is not Effect.READS:
            session.note(effect)
        if session.is_movable and session.role is Role.REPLICA:
            done, session.statement = session.statement, statement
            if done is not None:
                session.is_movable = not session.steering.isolates and is_plain_read(done)

    for name in ("do_execute", "do_execute_no_params", "do_executemany"):
        event.listen(engine, name, before, insert=True)


class DatabaseSessionmaker(sessionmaker[DatabaseSession]):
    """A ``sessionmaker`` of sessions that work on the side on which the current request (or thread) works."""

    def __init__(self, steering: Steering) -> None:
        super().__init__(class_=DatabaseSession)
        self._steering = steering
        # Let the sessions join the transactions of their manager (zope.sqlalchemy): of the class, not of each session.
        for listener in (_after_begin, _after_attach, _before_commit, _after_commit):
            event.listen(self.class_, listener.__name__.removeprefix("_"), listener)

    def __call__(self, **options: Any) -> DatabaseSession:
        scope = current_scope()
        return self.make(scope, self._steering.decide(scope), **options)

    def make(self, scope: Scope, decision: Decision, **options: Any) -> DatabaseSession:
        """Return a new session of a scope, joined to the transaction manager of the request, or of the thread."""
        session = super().__call__(**options)
        session.steering = self._steering
        session.scope = scope
        session.decision = decision
        session.role = decision.role
        session.manager = scope.manager
        return session


def _after_begin(session: DatabaseSession, _transaction: Any, connection: Connection) -> None:
    session.begun[connection.engine] = connection
    vars(connection)[SESSION] = session
    session.steering.begun(session, connection)
    join_transaction(session, transaction_manager=session.manager)


def _after_attach(session: DatabaseSession, _instance: Any) -> None:
    join_transaction(session, transaction_manager=session.manager)


def _before_commit(session: DatabaseSession) -> None:
    ZopeTransactionEvents(transaction_manager=session.manager).before_commit(session)
    if not session.in_nested_transaction():
        session.steering.committing(session)


def _after_commit(session: DatabaseSession) -> None:
    if not session.in_nested_transaction():
        session.steering.committed(session)


class _Registry:
    """The registry that scoped_session asks: its sessions are kept in the scope of the request or thread."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def __call__(self) -> DatabaseSession:
        session: DatabaseSession = self._database.session(current_scope())
        return session

    def has(self) -> bool:
        return bool(self._keys())

    def set(self, session: DatabaseSession) -> None:
        current_scope().sessions[id(self._database), session.role] = session

    def clear(self) -> None:
        """Close and forget the sessions of all sides."""
        for key in self._keys():
            current_scope().sessions.pop(key).close()

    def _keys(self) -> list[tuple[int, Role]]:
        return [key for key in current_scope().sessions if key[0] == id(self._database)]


class RoutedSession(scoped_session[DatabaseSession]):
    """The session of the request being handled: on a replica or the primary, as its method and the rules say.

    Outside of requests it is the thread's, on the primary unless ``use_replica()`` asks otherwise. It is joined to
    the transaction: ``transaction.commit()``, or pyramid_tm, commits. ``c2c_rw_bind`` and ``c2c_ro_bind`` are the
    engines (one where there is no replica), ``c2c_ro_binds`` those of all replicas.
    """

    def __init__(self, database: Any, maker: DatabaseSessionmaker, engines: tuple[Engine, ...]) -> None:
        super().__init__(maker)
        self.registry = _Registry(database)  # type: ignore[assignment] # as a ScopedRegistry
        self.database = database
        self.c2c_rw_bind, self.c2c_ro_binds = engines[0], engines[1:]
        self.c2c_ro_bind = (*self.c2c_ro_binds, self.c2c_rw_bind)[0]


class RequestSession:
    """``request.dbsession``; what is assigned to it, in a test for example, is there instead."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def __get__(self, request: Any, owner: Any = None) -> Any:
        return self if request is None else self._database.session_of(request)
