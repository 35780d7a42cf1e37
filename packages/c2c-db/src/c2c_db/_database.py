"""A database: what an application says about it, and the same at work: the engine of each session, moves, marks."""

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from c2c_broadcast import ConfigurationError, load, settings_of
from c2c_broadcast.process import at_fork
from c2c_db._engines import (
    can_enforce,
    enforce,
    enforce_always,
    engine_name,
    is_enforced,
    open_engines,
    reset_on_return,
)
from c2c_db._failures import DatabaseError, Failure, MaintenanceError, ReadOnlySessionError, failure_of
from c2c_db._maintenance import Maintenance
from c2c_db._marks import Mark, Tokens, Written, brings_marks, later
from c2c_db._observers import Decided, Observers, Role, State
from c2c_db._replica import PRIMARY_AWAY, Replica, Replicas, ReplicaStatus
from c2c_db._scope import MAINTENANCE, Condition, Decision, Scope, current_scope, make_rules, scope_of
from c2c_db._server import Primary
from c2c_db._session import DatabaseSession, DatabaseSessionmaker, RoutedSession, user_of, watch_statements
from c2c_db._settings import DbSettings
from c2c_db._statements import Effect

_LOG = logging.getLogger(__name__)
_KEY = "c2c_db.application"

# Within a URL a comma parts its hosts: one between URLs has white space, or a scheme, after it.
_BETWEEN_URLS = re.compile(r",?\s+|,(?=[\w+]+://)")

_ATTRIBUTE = "dbsession"
_ENGINE = "sqlalchemy"
_NOTHING_SHARED = (
    "what clients carry from writes to reads is signed with a key that anybody can guess, as C2C_SECRET is not set and "
    "the URL has no password: set C2C_SECRET, the same in all processes of the service"
)
_NO_IDENTITY = (
    "clients may not read what they wrote by another process, whose URL has another database name or password: set "
    "C2C_SECRET, the same in all processes, or GRANT EXECUTE ON FUNCTION pg_control_system() to this user"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database: where its primary and replicas are, and which requests use which side.

    ``name`` is the attribute of the request (``request.dbsession``); ``engine_name`` and ``replica_engine_name`` stand
    in logs and metrics: ``sqlalchemy`` and ``sqlalchemy_slave`` where they are not given, or, of a database with
    another ``name``, that name and the same with ``_slave``. ``replica_urls`` are the replicas, each of which may be a
    URL with several hosts too; none, or the primary's own URL: one engine. ``options`` and ``replica_options`` are
    create_engine's (``pool_size``, ...; the replicas' are the primary's where None).
    """

    url: str
    replica_urls: tuple[str, ...] = ()
    name: str = _ATTRIBUTE
    engine_name: str | None = None
    replica_engine_name: str | None = None
    force_master: Iterable[Condition] | None = None
    force_slave: Iterable[Condition] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    replica_options: Mapping[str, Any] | None = None

    @property
    def engine_names(self) -> tuple[str, str]:
        primary = self.engine_name or (_ENGINE if self.name == _ATTRIBUTE else self.name)
        return primary, self.replica_engine_name or f"{primary}_slave"

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        prefix: str = _ENGINE,
        replica_prefix: str | None = "sqlalchemy_slave",
        **more: Any,
    ) -> "Database":
        """Make one of the ini keys ``{prefix}.url``, ``{prefix}.pool_size``, ... and the same with ``replica_prefix``.

        Raises:
            ConfigurationError: ``{prefix}.url`` is missing.
        """
        options = _options(settings, prefix)
        url = str(options.pop("url", None) or "").strip()
        if not url:
            raise ConfigurationError(
                f"{prefix}.url is not set: write {prefix}.url = postgresql://user:password@host:port/database"
            )
        replica = _options(settings, replica_prefix) if replica_prefix else {}
        urls = replica.pop("urls", None) or ()
        if isinstance(urls, str):
            urls = _BETWEEN_URLS.split(urls)
        urls = [str(one or "").strip() for one in (replica.pop("url", None), *urls)]
        return cls(
            url=url,
            replica_urls=tuple(filter(None, urls)),
            engine_name=prefix,
            replica_engine_name=replica_prefix,
            options=options,
            replica_options=replica,
            **more,
        )


def _options(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}


class Application:
    """What the databases of one application (``serves``), or of a script, share."""

    def __init__(self, settings: DbSettings, secret: str | None = None, *, serves: bool = True) -> None:
        self.settings = settings
        self.observers = Observers()
        self.maintenance = Maintenance(can_be_switched=settings.maintenance_view_enabled)
        self.databases: dict[str, RunningDatabase] = {}
        self.secret = secret
        self.serves = serves


def application_of(registry: Any) -> Application:
    """Return what the databases of an application share, made at the first call."""
    if _KEY not in registry:
        registry[_KEY] = Application(load(DbSettings, registry.settings or {}), settings_of(registry).secret)
    application: Application = registry[_KEY]
    return application


def databases(registry: Any) -> "dict[str, RunningDatabase]":
    """Return the databases of an application, by the name of the primary's engine."""
    return application_of(registry).databases


class NamedEngine(NamedTuple):
    """An engine, its name, and the side it is of."""

    name: str
    engine: Engine
    role: Role


class RunningDatabase:
    """One database of one application (or script); ``decisions`` is how often an (engine, reason) was chosen."""

    def __init__(self, database: Database, application: Application) -> None:
        self.name, _ = database.engine_names
        self.application = application
        self.settings = settings = application.settings
        self.rules = make_rules(database.force_master, database.force_slave)
        # Under READ COMMITTED, the default, each statement sees what is committed when it starts.
        self.isolates = "isolation_level" in {**database.options, **(database.replica_options or {})}
        first, others = open_engines(database)
        timeout = settings.primary_timeout if application.serves else None
        self.primary = Primary(self.name, first, application.observers, timeout)
        replicas = [Replica(self.primary, one, timeout, settings) for one in others]
        self.replicas = Replicas(self.primary, replicas, settings)
        self.leaves_marks = settings.read_your_writes != "off" and bool(replicas)
        self._knows_positions = settings.replica_kind == "streaming"
        self._tokens: Tokens | None = None
        self._said: set[str] = set()
        engines = tuple(self.replicas.by_engine)
        # Which are read-only whatever happens: their sessions write nothing.
        self._read_only = frozenset(engines if settings.enforce_readonly or self._knows_positions else ())
        for engine in (first.engine, *engines):
            (enforce_always if settings.enforce_readonly and engine is not first.engine else reset_on_return)(engine)
            watch_statements(engine)
            event.listen(engine, "handle_error", self._on_error)
        for engine in engines:
            vars(engine)["c2c_fails_over"] = settings.replica_failover == "primary" or len(engines) > 1
        self.maker = DatabaseSessionmaker(self, self.decide)
        self.scoped_session = RoutedSession(self, self.maker, (first.engine, engines))
        self.after_fork()
        at_fork(self)
        if (
            self.leaves_marks
            and not application.secret
            and not first.engine.url.password
            and not self.primary.is_postgresql
        ):
            self._say(_NOTHING_SHARED)

    def after_fork(self) -> None:
        self.decisions: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()

    @property
    def engines(self) -> tuple[NamedEngine, ...]:
        return (
            NamedEngine(self.primary.name, self.primary.engine, Role.PRIMARY),
            *(NamedEngine(replica.name, replica.engine, Role.REPLICA) for replica in self.replicas.all),
        )

    def replica_states(self) -> tuple[ReplicaStatus, ...]:
        """Return the state of each replica, probed where it has not been lately (1 s at most)."""
        for replica in self.replicas.all:
            replica.look()
        return tuple(replica.status() for replica in self.replicas.all)

    def close(self) -> None:
        for server in (self.primary, *self.replicas.all):
            server.close()

    # -- sessions -----------------------------------------------------------------------------------------------------

    def decide(self, scope: Scope) -> Decision:
        """Return the side for what is being done now."""
        return MAINTENANCE if self.application.maintenance.readonly else scope.decide(self.rules)

    def session(self, scope: Scope) -> DatabaseSession:
        """Return the session of a scope on the side that it works on, made at the first call."""
        decision = self.decide(scope)
        key = (id(self), decision.role)
        session: DatabaseSession | None = scope.sessions.get(key)
        if session is None:
            session = scope.sessions[key] = self.maker.make(scope, decision)
        else:
            session.decision = decision
        return session

    def session_of(self, request: Any) -> DatabaseSession:
        """Return this thread's session of this request, which need not be the one that the thread handles."""
        scope = current_scope()
        return self.session(scope if scope.request is request else scope_of(request))

    # -- what sessions ask (``Steering``) -----------------------------------------------------------------------------

    def choose(self, session: DatabaseSession) -> Engine:
        """Return the engine for a session that begins; raise UnavailableError where there is none."""
        engine, reason = self.primary.engine, None
        if session.role is Role.REPLICA and self.replicas.all:
            engine, reason = self.replicas.choose(self._mark(session.scope))
        if engine is self.primary.engine:
            self.primary.refuse()
        self._count(engine, session.role, reason or session.decision.reason)
        return engine

    def fail_over(self, session: DatabaseSession, error: Exception) -> Engine | None:
        """Return the engine to go on with after a read failed, None where that is no fault of the server's."""
        failure, engine = failure_of(error), session.bind
        if failure in {None, Failure.READ_ONLY} or not isinstance(engine, Engine):
            return None
        is_lost, is_first = failure is Failure.LOST, engine not in session.tried
        session.tried.append(engine)
        mark = self._mark(session.scope)
        replica = self.replicas.by_engine.get(engine)
        other: Engine | None
        if replica is None:
            other = self.replicas.last_resort(mark, session.tried) if is_lost else None
            reason: str | None = PRIMARY_AWAY
        else:
            if is_lost:
                if is_first and _was_connected(error) and replica.look() is State.USABLE:
                    return engine  # One connection that was lost says little about the server: a new one tells.
                replica.failed(getattr(error, "orig", error))
            other, reason = self.replicas.choose(mark, session.tried, str(failure))
        if other is not None:
            self._count(other, session.role, reason or str(failure))
        return other

    def begun(self, session: DatabaseSession, connection: Connection) -> None:
        """Make what a session of the replica side begins READ ONLY."""
        session.may_write = True
        if session.role is not Role.REPLICA:
            return
        engine = connection.engine
        if (self.settings.enforce_readonly or session.decision is MAINTENANCE) and can_enforce(engine):
            enforce(connection)
            session.may_write = False
        elif engine in self._read_only:
            session.may_write = False

    def committing(self, session: DatabaseSession) -> None:
        """Ask the server whether a session has written, where that is not sure and somebody wants to know."""
        connection = session.begun.get(self.primary.engine)
        if session.effect is Effect.UNSURE and self.leaves_marks and connection is not None:
            session.effect = Effect.WRITES if self.primary.has_written(connection) else Effect.READS

    def committed(self, session: DatabaseSession) -> None:
        """Mark what a session committed, so that its client reads it. It is committed: nothing raises now."""
        connection = session.begun.get(self.primary.engine)
        if session.effect is Effect.READS or connection is None:
            return
        try:
            self.primary.worked()
            tokens = self._find_tokens() if self.leaves_marks else None
            if tokens is not None:
                asks = self._knows_positions and self.settings.read_your_writes == "lsn"
                mark = Mark(self.primary.position_after_commit(connection) if asks else None, time.time())
                session.scope.written[self.name] = Written(tokens, self.primary.identity or self.name, mark)
        except Exception:  # noqa: BLE001 # a write that fails after its commit is done twice by its client
            self._say("A commit could not be marked: its client may not read it at once", exc_info=True)

    def _count(self, engine: Engine, role: Role, reason: str) -> None:
        name = engine_name(engine)
        with self._counting:
            self.decisions[name, reason] += 1
        self.application.observers.notify(Decided(self.name, name, role, reason))

    # -- marks --------------------------------------------------------------------------------------------------------

    def _mark(self, scope: Scope) -> Mark | None:
        """Return what the client wrote last: in this request, or in one whose token it brought.

        Without a position it is so recent that no replica is trusted to have it.
        """
        if not self.leaves_marks:
            return None
        if self.name not in scope.brought:
            scope.brought[self.name] = self._brought(scope.client)
        written = scope.written.get(self.name)
        mark = later(written.mark if written is not None else None, scope.brought[self.name])
        if mark is None or (mark.position is not None and self._knows_positions):
            return mark
        return Mark(None, mark.at) if time.time() - mark.at < self.settings.window else None

    def _brought(self, request: Any) -> Mark | None:
        tokens = self._find_tokens() if request is not None and brings_marks(request.environ) else None
        if tokens is None:
            return None
        marks = tokens.of_request(request.environ)
        return later(marks.get(self.primary.identity or ""), marks.get(self.name))

    def _find_tokens(self) -> Tokens | None:
        """Return what signs marks. The key is C2C_SECRET's, else drawn from what all processes of the service share.

        That is the identity of the database cluster, which every user may ask for and no client knows: URLs may differ
        in host, user and parameters. None as long as no server can be asked.
        """
        asks = self.primary.is_postgresql
        if self.primary.identity is None and asks:
            self._identify()
        if self._tokens is None:
            secret, identity = self.application.secret, self.primary.identity
            if secret is None and identity:
                secret = f"cluster {identity}"
            elif secret is None and (identity == "" or not asks):
                url = self.primary.engine.url
                secret = f"{url.database}\n{url.password}"
                if asks:
                    self._say(_NO_IDENTITY)
            if secret is not None:
                self._tokens = Tokens(secret)
        return self._tokens

    def _identify(self) -> None:
        for replica in self.replicas.all if self._knows_positions else ():
            replica.look()
            if replica.identity is not None:
                self.primary.identity = replica.identity
                return
        self.primary.ask_and_wait()

    def _say(self, message: str, **more: Any) -> None:
        if message not in self._said:
            self._said.add(message)
            _LOG.warning("Database %s: %s", self.name, message, **more)

    # -- errors -------------------------------------------------------------------------------------------------------

    def _on_error(self, context: ExceptionContext) -> BaseException | None:
        error, connection = context.sqlalchemy_exception, context.connection
        # SQLAlchemy before 2.0.5 does not tell of errors of a ping, nor know the word.
        failure = None if error is None or getattr(context, "is_pre_ping", False) else failure_of(error)
        is_replica = context.engine in self.replicas.by_engine
        if failure is Failure.READ_ONLY:
            if is_replica or (connection is not None and is_enforced(connection)):
                return self._read_only_error(connection)
            # The primary takes no writes any more: it was demoted, or its host name means another server now.
            context.is_disconnect = True
            self.primary.failed(context.original_exception, takes_connections=True)
        elif failure is Failure.LOST and connection is None and not is_replica:
            self.primary.failed(context.original_exception, takes_connections=False)
        return None

    def _read_only_error(self, connection: Connection | None) -> DatabaseError:
        session = user_of(connection) if connection is not None else None
        scope = current_scope() if session is None else session.scope
        decision = None if session is None else session.decision
        # The mode may have ended since the session began: what counts is why it is read-only.
        if decision is MAINTENANCE:
            retry_after = self.application.maintenance.retry_after()
            return MaintenanceError("The service is read-only for maintenance: write again later", retry_after)
        return ReadOnlySessionError.of(scope.target, scope.route, decision.reason if decision else "asked")


def _was_connected(error: Exception) -> bool:
    return bool(getattr(error, "connection_invalidated", False)) and getattr(error, "statement", None) is not None
