"""Steer sessions: give them engines, move them when one fails, and mark what they commit."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine

from c2c_db._engines import engine_name
from c2c_db._failures import Failure, failure_of
from c2c_db._marks import Mark, later
from c2c_db._observers import Decisions
from c2c_db._primary import Primary
from c2c_db._read_only import can_enforce, enforce, enforce_always, note_user, reset_on_return
from c2c_db._replica import Replica
from c2c_db._replica_state import State
from c2c_db._replicas import Replicas
from c2c_db._roles import Role
from c2c_db._routing import MAINTENANCE
from c2c_db._scope import Scope
from c2c_db._session import DatabaseSession, ReplicaReads
from c2c_db._settings import DbSettings

_PRIMARY_AWAY = "primary away"


class Steering:
    """What sessions ask while they work."""

    def __init__(
        self,
        name: str,
        primary: Primary,
        replicas: Replicas,
        settings: DbSettings,
        decisions: Decisions,
        marks_of_request: Callable[[Any], dict[str, Mark]],
    ) -> None:
        self._name = name
        self._primary = primary
        self._replicas = replicas
        self._settings = settings
        self._decisions = decisions
        self._marks_of_request = marks_of_request
        engines = (primary.engine, *replicas.by_engine)
        self._enforceable = frozenset(engine for engine in engines if can_enforce(engine))
        # The connections of these are read-only from their start; those of others are made so where it is needed.
        self._read_only = frozenset(replicas.by_engine) if settings.enforce_readonly else frozenset()
        for engine in engines:
            reset_on_return(engine)
            if engine in self._read_only:
                enforce_always(engine)

    def choose(self, session: DatabaseSession) -> Engine:
        """Return the engine for a session that begins."""
        engine, reason = self._primary.engine, None
        if session.role is Role.REPLICA and self._replicas.all:
            mark = self._mark(session.scope)
            engine, reason = self._replicas.choose(mark)
            if engine is self._primary.engine and not self._primary.available:
                # Known to be away: not each read waits for its connect limit. Writes go on to try it.
                other = self._replicas.last_resort(mark, ())
                if other is not None:
                    engine, reason = other, _PRIMARY_AWAY
        self._decisions.count(engine_name(engine), session.role, reason or session.decision.reason)
        return engine

    def fail_over(self, session: ReplicaReads, error: Exception) -> Engine | None:
        """Return the engine to go on with after a read failed, None where that is no fault of the server's.

        Raises:
            NoReplicaError: As in ``Replicas.choose``.
        """
        failure = failure_of(error)
        engine = session.bind
        if failure in {None, Failure.READ_ONLY} or not isinstance(engine, Engine):
            return None
        mark = self._mark(session.scope)
        replica = self._replicas.by_engine.get(engine)
        other: Engine | None
        if replica is None:
            session.tried.append(engine)
            other = self._replicas.last_resort(mark, session.tried) if failure is Failure.LOST else None
            reason = _PRIMARY_AWAY
        elif failure is Failure.LOST and engine not in session.tried and _was_connected(error) and _is_usable(replica):
            # One connection that was lost says little about the server: a new one tells.
            session.tried.append(engine)
            return engine
        else:
            if failure is Failure.LOST:
                replica.failed(str(getattr(error, "orig", error)))
            session.tried.append(engine)
            other, found = self._replicas.choose(mark, session.tried, str(failure))
            reason = found or str(failure)
        if other is not None:
            self._decisions.count(engine_name(other), session.role, reason)
        return other

    def begun(self, session: DatabaseSession, connection: Connection) -> None:
        """Make what a session of the replica side begins READ ONLY."""
        if session.role is not Role.REPLICA:
            return
        note_user(connection, session.scope, session.decision)
        if connection.engine in self._read_only:
            return
        enforced = self._settings.enforce_readonly or session.decision is MAINTENANCE
        if enforced and connection.engine in self._enforceable:
            enforce(connection)

    def committed(self, session: DatabaseSession, connection: Connection) -> None:
        """Mark what a session committed, so that its client reads it."""
        if session.role is not Role.PRIMARY or session.in_nested_transaction():
            return
        self._primary.worked()
        how = self._settings.read_your_writes
        if how == "off" or not self._replicas.all:
            return
        position = None
        if how == "lsn" and connection.engine is self._primary.engine:
            position = self._primary.position_after_commit(connection.connection.dbapi_connection)
        session.scope.marks[self._name] = Mark(position, time.time())

    def _mark(self, scope: Scope) -> Mark | None:
        """Return what the client wrote last: in this request, or in one whose token it brought."""
        if self._settings.read_your_writes == "off":
            return None
        if scope.brought is None:
            scope.brought = {} if scope.request is None else self._marks_of_request(scope.request)
        return later(scope.marks.get(self._name), scope.brought.get(self._name))


def _was_connected(error: Exception) -> bool:
    return bool(getattr(error, "connection_invalidated", False)) and getattr(error, "statement", None) is not None


def _is_usable(replica: Replica) -> bool:
    return replica.look() is State.USABLE
