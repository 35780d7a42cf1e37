"""A database at work: its engines, its rules, and the session of whoever asks."""

import time
from dataclasses import dataclass
from typing import Any

import transaction
from sqlalchemy import Engine

from c2c_db._application import Application
from c2c_db._database import Database
from c2c_db._engines import describe, open_engines
from c2c_db._error_events import watch_errors
from c2c_db._observers import Decisions
from c2c_db._primary import Primary
from c2c_db._replica import Replica
from c2c_db._replica_state import State
from c2c_db._replicas import Replicas
from c2c_db._roles import Role
from c2c_db._routing import MAINTENANCE, Decision, decide, make_rules
from c2c_db._scope import Scope, current_scope, forced_role, path_of, scope_of
from c2c_db._session import DatabaseSession, FrozenSessionmaker, ReplicaReads
from c2c_db._steering import Steering
from c2c_db._transactions import join_sessions

_ASKED = {role: Decision(role, "asked") for role in Role}
_OUTSIDE = Decision(Role.PRIMARY, "outside a request")


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """An engine, its name, and the side it is of."""

    name: str
    engine: Engine
    role: Role


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The state of a replica: ``lag`` in seconds where known, ``since`` in seconds since 1970."""

    name: str
    state: State
    lag: float | None
    since: float
    reason: str


class RunningDatabase:
    """One database of one application (or script)."""

    def __init__(self, database: Database, application: Application) -> None:
        self.name, _ = database.engine_names
        self.application = application
        self.settings = application.settings
        self.rules = make_rules(database.force_master, database.force_slave)
        # Under READ COMMITTED, the default, each statement sees what is committed when it starts.
        self.isolates = "isolation_level" in {**database.options, **(database.replica_options or {})}
        engine, replicas = open_engines(database)
        for one, _ in replicas:
            describe(one, Role.REPLICA, fails_over=self.settings.replica_failover == "primary" or len(replicas) > 1)
        observers = application.observers
        self.primary = Primary(self.name, engine, observers)
        self.replicas = Replicas(
            self.primary,
            [Replica(self.name, one, args, self.settings.max_lag, observers) for one, args in replicas],
            self.settings,
        )
        self._decisions = Decisions(self.name, observers)
        self.steering = Steering(
            self.name,
            self.primary,
            self.replicas,
            self.settings,
            self._decisions,
            application.marks_of,
        )
        watch_errors(self)
        self._makers = self._make_makers(database)

    def _make_makers(self, database: Database) -> dict[Role, FrozenSessionmaker]:
        base = FrozenSessionmaker(class_=DatabaseSession).class_
        join_sessions(base)
        self.session_class = base
        reads = type("ReplicaSession", (ReplicaReads, base), {})
        common: dict[str, Any] = {**database.session_options, "database": self}
        return {
            Role.PRIMARY: FrozenSessionmaker(class_=base, bind=self.primary.engine, **common),
            Role.REPLICA: FrozenSessionmaker(class_=reads, bind=self.reader, **common),
        }

    @property
    def reader(self) -> Engine:
        """The engine of the replica side: the (first) replica's, or the primary's where there is none."""
        return self.replicas.all[0].engine if self.replicas.all else self.primary.engine

    @property
    def engines(self) -> tuple[NamedEngine, ...]:
        """All engines, the primary's first."""
        return (
            NamedEngine(self.primary.name, self.primary.engine, Role.PRIMARY),
            *(NamedEngine(replica.name, replica.engine, Role.REPLICA) for replica in self.replicas.all),
        )

    @property
    def decisions(self) -> dict[tuple[str, str], int]:
        """How often which engine was chosen, and why: (engine name, reason) -> count."""
        return self._decisions.snapshot()

    def replica_states(self) -> tuple[ReplicaStatus, ...]:
        """Return the state of each replica, probed where it has not been lately (1 s at most)."""
        offset = time.time() - time.monotonic()
        found = []
        for replica in self.replicas.all:
            replica.look()
            status = replica.status
            found.append(ReplicaStatus(replica.name, status.state, status.lag, status.since + offset, status.reason))
        return tuple(found)

    def decide(self, scope: Scope) -> Decision:
        """Return the side for what is being done now."""
        if self.application.maintenance.readonly:
            return MAINTENANCE
        asked = forced_role()
        if asked is not None:
            return _ASKED[asked]
        request = scope.request
        if request is None:
            return _OUTSIDE
        decision = scope.decisions.get(id(self))
        if decision is None:
            route = getattr(request, "matched_route", None)
            decision = decide(self.rules, request.method, path_of(request), getattr(route, "name", None))
            if route is not None:  # before routing the rules by route name can't be applied
                scope.decisions[id(self)] = decision
        return decision

    def session(self, scope: Scope | None = None) -> DatabaseSession:
        """Return the session of the request (or thread) on the side that it works on, made at the first call."""
        if scope is None:
            scope = current_scope()
        decision = self.decide(scope)
        key = (id(self), decision.role)
        session = scope.sessions.get(key)
        if session is None:
            session = scope.sessions[key] = self.make_session(decision, scope)
        else:
            session.decision = decision
        return session

    def make_session(self, decision: Decision, scope: Scope, **options: Any) -> DatabaseSession:
        """Return a new session, joined to the transaction manager of the request, or of the thread."""
        manager = transaction.manager if scope.is_visitor else getattr(scope.request, "tm", None) or transaction.manager
        return self._makers[decision.role](decision=decision, scope=scope, manager=manager, **options)

    def session_of(self, request: Any) -> DatabaseSession:
        """Return this thread's session of this request, which need not be the one that the thread handles."""
        scope = current_scope()
        return self.session(scope if scope.request is request else scope_of(request))

    def close(self) -> None:
        """End the probes and close the idle connections."""
        for replica in self.replicas.all:
            replica.close()
        for named in self.engines:
            named.engine.dispose()
