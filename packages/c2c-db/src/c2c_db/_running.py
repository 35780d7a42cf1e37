"""A database at work: its engines, its rules, and the session of whoever asks."""

from typing import Any

import transaction
from sqlalchemy import Engine

from c2c_db._database import Database
from c2c_db._engines import make_engine
from c2c_db._roles import Role
from c2c_db._routing import Decision, decide, make_rules
from c2c_db._scope import Scope, current_scope, forced_role
from c2c_db._session import DatabaseSession, FrozenSessionmaker
from c2c_db._settings import DbSettings
from c2c_db._transactions import join_sessions
from c2c_db._url import one_url_a_host, parse_url

_ASKED = {role: Decision(role, "asked") for role in Role}
_OUTSIDE = Decision(Role.PRIMARY, "outside a request")


class RunningDatabase:
    """One database of one application (or script)."""

    def __init__(self, database: Database, settings: DbSettings) -> None:
        self.name = database.name
        self.settings = settings
        self.rules = make_rules(database.force_master, database.force_slave)
        url = parse_url(database.url, f"{database.engine_name}.url")
        self.primary = make_engine(url, database.engine_name, database.options, writable=True)
        urls = [
            one
            for text in database.replica_urls
            for one in one_url_a_host(parse_url(text, f"{database.replica_engine_name}.url"))
            if one != url
        ]
        options = database.options if database.replica_options is None else database.replica_options
        names = [
            database.replica_engine_name + (f"_{number}" if len(urls) > 1 else "") for number in range(1, 1 + len(urls))
        ]
        self.replicas = tuple(
            make_engine(one, name, options, writable=False) for one, name in zip(urls, names, strict=True)
        )
        base = FrozenSessionmaker(class_=DatabaseSession)
        join_sessions(base.class_)
        self.session_class = base.class_
        common: dict[str, Any] = {**database.session_options, "database": self}
        self._makers = {
            Role.PRIMARY: FrozenSessionmaker(class_=base.class_, bind=self.primary, role=Role.PRIMARY, **common),
            Role.REPLICA: FrozenSessionmaker(class_=base.class_, bind=self.reader, role=Role.REPLICA, **common),
        }

    @property
    def reader(self) -> Engine:
        """The engine of the replica side: the (first) replica's, or the primary's where there is none."""
        return self.replicas[0] if self.replicas else self.primary

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All engines, the primary's first."""
        return (self.primary, *self.replicas)

    def decide(self, scope: Scope) -> Decision:
        """Return the side for what is being done now."""
        asked = forced_role()
        if asked is not None:
            return _ASKED[asked]
        request = scope.request
        if request is None:
            return _OUTSIDE
        decision: Decision | None = scope.decisions.get(id(self))
        if decision is None:
            route = getattr(request, "matched_route", None)
            decision = decide(self.rules, request.method, request.path, getattr(route, "name", None))
            if route is not None:  # before routing the rules by route name can't be applied
                scope.decisions[id(self)] = decision
        return decision

    def session(self, scope: Scope | None = None) -> DatabaseSession:
        """Return the session of the request (or thread) on the side that it works on, made at the first call."""
        if scope is None:
            scope = current_scope()
        key = (id(self), self.decide(scope).role)
        session = scope.sessions.get(key)
        if session is None:
            session = scope.sessions[key] = self.make_session(key[1], scope)
        return session

    def make_session(self, role: Role, scope: Scope, **options: Any) -> DatabaseSession:
        """Return a new session, joined to the transaction manager of the request, or of the thread."""
        manager = getattr(scope.request, "tm", None) or transaction.manager
        return self._makers[role](manager=manager, **options)

    def session_of(self, request: Any) -> DatabaseSession:
        """Return the session of this request, which need not be the one that the thread handles."""
        scope = current_scope()
        if scope.request is not request:
            scope = Scope(request)
            request.add_finished_callback(lambda _request: scope.close())
        return self.session(scope)
