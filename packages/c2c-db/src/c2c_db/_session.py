"""Sessions: of a request (or thread) on one side of a database, joined to its transaction, moved where a server fails.

``DBSession`` is a ``scoped_session`` over a ``sessionmaker``, so that what is documented for these holds for it. What
is sent to the driver is looked at: does it write, and could the transaction go on elsewhere after it?
"""

import enum
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from zope.sqlalchemy import ZopeTransactionEvents
from zope.sqlalchemy.datamanager import join_transaction, mark_changed

from c2c_db._failures import OF_DATABASES, failure_of
from c2c_db._scope import Decision, Role, Scope, current_scope

SESSION = "c2c_db_session"
"""The attribute of a session's connection that tells whose it is: ``info`` would take four calls a statement."""


class Effect(enum.IntEnum):
    """What a statement leaves behind: nothing, who knows, or a change."""

    READS = 0
    UNSURE = 1
    WRITES = 2


_SHORT = 8_000  # longer texts are not remembered
# What is no SQL, but stands in one: literals, quoted names, comments. One that does not end goes to the text's end.
_QUOTED = re.compile(r"""'[^']*+'?|"[^"]*+"?|--[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/)?""")
# Where the above may be read otherwise by the server: escapes, dollar quotes, comments in comments or for MySQL alone.
_ODD = re.compile(r"\\|\$\w*+\$|/\*(?:!|[^*/]*+(?:\*(?!/)[^*/]*+|/(?!\*)[^*/]*+)*+/\*)")
_NAME = '"'  # stands for a quoted name
# A word, with the parenthesis that makes it a call; or the end of a statement.
_WORD = re.compile(r'([^\W\d][\w.$]*+|")(\s*+\()?|;')


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRITING = _words_of(
    "INSERT UPDATE DELETE MERGE REPLACE UPSERT CREATE ALTER DROP TRUNCATE COMMENT GRANT REVOKE REFRESH IMPORT COPY "
    "COMMIT END PREPARE"
)
"""First words of statements that change data, or (the last three) end the transaction, which then can't be asked."""
_READING = _words_of("SELECT WITH VALUES TABLE SHOW SET RESET DECLARE FETCH MOVE CLOSE PRAGMA EXPLAIN DISCARD")
_PLAIN = _words_of("SELECT WITH VALUES TABLE SHOW")
# Within a statement that begins like a read: DML in a CTE, SELECT ... INTO, EXPLAIN ANALYZE.
_DOUBTFUL = _words_of("INSERT UPDATE DELETE MERGE INTO ANALYZE ANALYSE")
# What may stand before a parenthesis and calls nothing, and functions of the server that write nothing.
_CALLS_NOTHING = _words_of(
    "ALL AND ANY ARRAY AS BETWEEN BY CASE CAST CROSS DISTINCT ELSE END EXCEPT EXISTS FETCH FILTER FROM GROUP GROUPING "
    "HAVING IN INNER INTERSECT INTERVAL IS JOIN LATERAL LEFT LIKE ILIKE LIMIT MATERIALIZED NATURAL NOT OFFSET ON OR "
    "ORDER OUTER OVER PARTITION RIGHT ROLLUP CUBE ROW SELECT SETS SIMILAR SOME THEN TO UNION USING VALUES WHEN WHERE "
    "WITH WITHIN BIT CHAR CHARACTER DECIMAL FLOAT NUMERIC TIME TIMESTAMP TIMESTAMPTZ VARCHAR VARYING VARBINARY "
    "ABS AVG BOOL_AND BOOL_OR CEIL COALESCE CONCAT COUNT CURRENT_DATABASE CURRENT_SETTING DATE_PART DATE_TRUNC "
    "DENSE_RANK EXTRACT FLOOR GREATEST IFNULL JSON_AGG JSONB_AGG LEAST LENGTH LOWER LPAD LTRIM MAX MIN MOD NOW NULLIF "
    "PG_CURRENT_WAL_LSN PG_IS_IN_RECOVERY PG_LAST_WAL_REPLAY_LSN RANK ROUND ROW_NUMBER RTRIM STRING_AGG ARRAY_AGG "
    "SUBSTR SUBSTRING SUM TO_CHAR TO_DATE TO_JSON TRIM UNNEST GENERATE_SERIES UPPER VERSION"
)
# Settings, locks and snapshots live in the server's session, and would be lost.
_STATE = re.compile(r"set_config|advisory|export_snapshot|setseed|\bFOR\s++(?:UPDATE|SHARE)\b", re.IGNORECASE)


def effect_of(text: str) -> Effect:
    """Return what a text of one or several statements does; in doubt ``UNSURE``, never ``READS``.

    A view or an operator that calls a writing function is not seen:
    ``zope.sqlalchemy.mark_changed(session)`` says so.
    """
    return _short_effect_of(text) if len(text) <= _SHORT else _effect_of(text)


def _effect_of(text: str) -> Effect:
    effect = Effect.UNSURE if _ODD.search(text) else Effect.READS
    for words, calls in _statements(text):
        effect = max(effect, _effect_of_one(words, calls))
        if effect is Effect.WRITES:
            break
    return effect


# The texts of a service are few, and asked about again and again.
_short_effect_of = lru_cache(500)(_effect_of)


def _statements(text: str) -> Iterator[tuple[list[str], bool]]:
    # The words of each statement, in capitals, and whether it calls a function that may do anything. A quoted name is
    # one word, literals and comments are none.
    words: list[str] = []
    calls = False
    for found in _WORD.finditer(_QUOTED.sub(lambda quoted: _NAME if quoted[0][0] == '"' else " ", text)):
        if found[0] == ";":
            yield words, calls
            words, calls = [], False
        else:
            word = found[1].upper()
            words.append(word)
            calls = calls or (found[2] is not None and word not in _CALLS_NOTHING)
    yield words, calls


def _effect_of_one(words: list[str], calls: bool) -> Effect:
    if not words:
        return Effect.READS
    if words[0] in _WRITING:
        return Effect.WRITES
    return Effect.UNSURE if calls or words[0] not in _READING or not _DOUBTFUL.isdisjoint(words) else Effect.READS


def is_plain_read(text: str) -> bool:
    """Tell whether a READ COMMITTED transaction can go on on another server after this text.

    It can after a plain read. It can't after SET LOCAL, set_config(), locks, or a function called without a FROM, which
    may do any of that (``SELECT set_tenant(5)``): what follows would read with other eyes.
    """
    return len(text) <= _SHORT and _is_plain_read(text)


@lru_cache(500)
def _is_plain_read(text: str) -> bool:
    statements = [statement for statement in _statements(text) if statement[0]]
    if len(statements) != 1 or _STATE.search(text):
        return False
    [(words, calls)] = statements
    return words[0] in _PLAIN and ("FROM" in words or not calls)


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
        self.may_write = True
        self._forget()

    def _forget(self) -> None:
        self._engine: Engine | None = None
        self.begun: dict[Engine, Connection] = {}
        self.effect = Effect.READS
        self.is_movable = True  # nothing was done that the next server would not know
        self.statement: str | None = None  # the last one: whether it could be moved after counts when more follows
        self.tried: list[Engine] = []

    def get_bind(self, mapper: Any = None, *, clause: Any = None, bind: Any = None, **more: Any) -> Any:
        """Return the engine of this session's side; a bind that was given, for all or for some tables, comes first."""
        if bind is not None or self._is_bound:
            return super().get_bind(mapper, clause=clause, bind=bind, **more)
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
        self._forget()

    def _read(self, read: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        while True:
            try:
                return read(*args, **kwargs)
            except OF_DATABASES as error:
                # What is to be written is bound to this transaction, which is the one that the manager knows.
                changes = self.effect is not Effect.READS or self.new or self.dirty or self.deleted
                is_bound = bool(changes) or self.in_nested_transaction() or not self.is_movable
                is_chosen = self._engine is not None and self.role is Role.REPLICA
                other = self.steering.fail_over(self, error) if is_chosen and not is_bound else None
                if other is None:
                    raise
            # Begin anew there. Nothing is written in a session of this side: what is rolled back are reads.
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

    def __init__(self, database: Any) -> None:
        super().__init__(database.maker)
        self.registry = _Registry(database)  # type: ignore[assignment] # as a ScopedRegistry
        self.database = database
        self.c2c_rw_bind, *replicas = database.engines
        self.c2c_ro_binds = tuple(replicas)
        self.c2c_ro_bind = (*replicas, self.c2c_rw_bind)[0]
