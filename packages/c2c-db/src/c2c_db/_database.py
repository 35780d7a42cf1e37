"""A database: what an application says about it, and the same at work: the engine of each session, moves, marks."""

import itertools
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from c2c_broadcast import ConfigurationError, load, settings_of
from c2c_db._engines import (
    Opened,
    can_enforce,
    describe,
    enforce,
    enforce_always,
    engine_name,
    is_enforced,
    one_url_a_host,
    open_engine,
    parse_url,
    reset_on_return,
)
from c2c_db._failures import (
    DatabaseError,
    Failure,
    MaintenanceError,
    ReadOnlySessionError,
    failure_of,
    read_only_message,
)
from c2c_db._maintenance import Maintenance
from c2c_db._marks import Mark, Tokens, Written, brings_marks, later
from c2c_db._observers import Decisions, Observers, Role, State
from c2c_db._primary import Primary
from c2c_db._replica import Replica, Replicas
from c2c_db._scope import (
    MAINTENANCE,
    Condition,
    Decision,
    Scope,
    current_scope,
    decide,
    forced_role,
    make_rules,
    path_of,
    scope_of,
)
from c2c_db._server import Watch
from c2c_db._session import (
    DatabaseSession,
    DatabaseSessionmaker,
    RoutedSession,
    note_user,
    user_of,
    watch_statements,
)
from c2c_db._settings import DbSettings
from c2c_db._statements import Effect

_LOG = logging.getLogger(__name__)
_KEY = "c2c_db.application"
_PRIMARY_AWAY = "primary away"

# Within a URL a comma parts its hosts: one between URLs has white space, or a scheme, after it.
_BETWEEN_URLS = re.compile(r",?\s+|,(?=[\w+]+://)")

_ATTRIBUTE = "dbsession"
_ENGINE = "sqlalchemy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database: where its primary and replicas are, and which requests use which side.

    ``name`` is the attribute of the request (``request.dbsession``); ``engine_name`` and ``replica_engine_name`` stand
    in logs and metrics: ``sqlalchemy`` and ``sqlalchemy_slave`` where they are not given, or, of a database with
    another ``name``, that name and the same with ``_slave``. ``replica_urls`` are the replicas, each of which may be a
    URL with several hosts too; none, or the primary's own URL: one engine. ``options`` and ``replica_options`` are
    create_engine's (``pool_size``, ...; the replicas' are the primary's where None), ``session_options`` are Session's.
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
    session_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def engine_names(self) -> tuple[str, str]:
        """The names of the primary's and the replica's engine."""
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
        urls = [str(replica.pop("url", None) or "").strip(), *_urls(replica.pop("urls", None))]
        return cls(
            url=url,
            replica_urls=tuple(one for one in urls if one),
            engine_name=prefix,
            replica_engine_name=replica_prefix,
            options=options,
            replica_options=replica,
            **more,
        )


def _urls(value: Any) -> list[str]:
    """Return the URLs in a setting: a text where white space or commas part them, or a list."""
    if isinstance(value, list | tuple):
        return [str(one).strip() for one in value]
    return _BETWEEN_URLS.split(str(value or "").strip())


def _options(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in settings.items() if key.startswith(start)}


class Application:
    """What the databases of one application (``serves``), or of a script, share."""

    def __init__(self, settings: DbSettings, secret: str | None = None, *, serves: bool = True) -> None:
        self.settings = settings
        self.observers = Observers()
        self.maintenance = Maintenance()
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
        self.settings = settings = application.settings
        self.rules = make_rules(database.force_master, database.force_slave)
        # Under READ COMMITTED, the default, each statement sees what is committed when it starts.
        self.isolates = "isolation_level" in {**database.options, **(database.replica_options or {})}
        first, others = _open_engines(database)
        observers = application.observers
        timeout = settings.primary_timeout if application.serves else None
        self.primary = Primary(self.name, first, observers, timeout)
        self.replicas = Replicas(
            self.primary, [Replica(self.name, one, observers, settings) for one in others], settings
        )
        for replica in self.replicas.all:
            goes_on = settings.replica_failover == "primary" or len(others) > 1
            describe(replica.engine, str(Role.REPLICA), fails_over=goes_on)
        self._watch = Watch(self.name, (self.primary, *self.replicas.all))
        self._decisions = Decisions(self.name, observers)
        self._marks = settings.read_your_writes != "off" and bool(self.replicas.all)
        self._tokens: Tokens | None = None
        self._url = first.engine.url
        self._said: set[str] = set()
        self._listen()
        self.maker = DatabaseSessionmaker(self, self.decide, dict(database.session_options))
        self.scoped_session = RoutedSession(self, self.maker, (self.primary.engine, tuple(self.replicas.by_engine)))
        if self._marks and not application.secret and not self._url.password and not self.primary.knows_wal:
            self._say(_NOTHING_SHARED)

    def _listen(self) -> None:
        replicas = tuple(self.replicas.by_engine)
        # The connections of these are read-only from their start; those of others are made so where it is needed.
        self._read_only = frozenset(replicas) if self.settings.enforce_readonly else frozenset()
        # Those of streaming replicas take no writes by themselves.
        self._recovering = frozenset(replicas) if self.settings.replica_kind == "streaming" else frozenset()
        self._enforceable = frozenset(one for one in (self.primary.engine, *replicas) if can_enforce(one))
        for engine in (self.primary.engine, *replicas):
            reset_on_return(engine)
            if engine in self._read_only:
                enforce_always(engine)
            watch_statements(engine)
            listener = self._on_replica_error if engine in replicas else self._on_primary_error
            event.listen(engine, "handle_error", listener)

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

    def close(self) -> None:
        """End the threads and close the idle connections."""
        self._watch.close()
        for server in (self.primary, *self.replicas.all):
            server.close()

    # -- sessions -----------------------------------------------------------------------------------------------------

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
            route = scope.route
            decision = decide(self.rules, request.method, path_of(request), route)
            if getattr(request, "matched_route", None) is not None:  # before that the rules by route name can't apply
                scope.decisions[id(self)] = decision
        return decision

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
        """Return the engine for a session that begins.

        Raises:
            NoReplicaError: No replica is usable, and reads may not fall over to the primary.
            UnavailableError: It is the primary, which hangs.
        """
        engine, reason = self.primary.engine, None
        if session.role is Role.REPLICA and self.replicas.all:
            mark = self._mark(session.scope)
            engine, reason = self.replicas.choose(mark)
            if engine is self.primary.engine and self.primary.is_away:
                # Not each read waits for it. Writes go on to try one that refuses connections.
                other = self.replicas.last_resort(mark, ())
                if other is not None:
                    engine, reason = other, _PRIMARY_AWAY
        if engine is self.primary.engine:
            self.primary.refuse()
        self._decisions.count(engine_name(engine), session.role, reason or session.decision.reason)
        return engine

    def fail_over(self, session: DatabaseSession, error: Exception) -> Engine | None:
        """Return the engine to go on with after a read failed, None where that is no fault of the server's.

        Raises:
            NoReplicaError: As in ``choose``.
        """
        failure = failure_of(error)
        engine = session.bind
        if failure in {None, Failure.READ_ONLY} or not isinstance(engine, Engine):
            return None
        mark = self._mark(session.scope)
        replica = self.replicas.by_engine.get(engine)
        other: Engine | None
        if replica is None:
            session.tried.append(engine)
            other = self.replicas.last_resort(mark, session.tried) if failure is Failure.LOST else None
            reason = _PRIMARY_AWAY
        elif failure is Failure.LOST and engine not in session.tried and _was_connected(error) and _is_usable(replica):
            # One connection that was lost says little about the server: a new one tells.
            session.tried.append(engine)
            return engine
        else:
            if failure is Failure.LOST:
                replica.failed(getattr(error, "orig", error))
            session.tried.append(engine)
            other, found = self.replicas.choose(mark, session.tried, str(failure))
            reason = found or str(failure)
            if other is self.primary.engine and self.primary.is_away:
                other = self.replicas.last_resort(mark, session.tried) or other
        if other is not None:
            self._decisions.count(engine_name(other), session.role, reason)
        return other

    def begun(self, session: DatabaseSession, connection: Connection) -> None:
        """Make what a session of the replica side begins READ ONLY."""
        note_user(connection, session)
        session.may_write = True
        if session.role is not Role.REPLICA:
            return
        if connection.engine in self._read_only or connection.engine in self._recovering:
            session.may_write = False
        elif connection.engine in self._enforceable and (
            self.settings.enforce_readonly or session.decision is MAINTENANCE
        ):
            enforce(connection)
            session.may_write = False

    def committing(self, session: DatabaseSession) -> None:
        """Ask the server whether a session has written, where that is not sure and somebody wants to know."""
        connection = session.begun.get(self.primary.engine)
        if session.effect is Effect.UNSURE and self._marks and connection is not None:
            session.effect = Effect.WRITES if self.primary.has_written(connection) else Effect.READS

    def committed(self, session: DatabaseSession) -> None:
        """Mark what a session committed, so that its client reads it. It is committed: nothing raises now."""
        connection = session.begun.get(self.primary.engine)
        if session.effect is Effect.READS or connection is None:
            return
        try:
            self.primary.worked()
            if self._marks:
                self._mark_commit(session.scope, connection)
        except Exception:  # noqa: BLE001 # a write that fails after its commit is done twice by its client
            self._say("A commit could not be marked: its client may not read it at once", exc_info=True)

    # -- marks --------------------------------------------------------------------------------------------------------

    def _mark_commit(self, scope: Scope, connection: Connection) -> None:
        position = None
        if self.settings.read_your_writes == "lsn" and self.settings.replica_kind == "streaming":
            position = self.primary.position_after_commit(connection)
        tokens = self._find_tokens()
        if tokens is not None:
            server = self.primary.identity or self.name
            scope.written[self.name] = Written(tokens, server, Mark(position, time.time()))

    def _mark(self, scope: Scope) -> Mark | None:
        """Return what the client wrote last: in this request, or in one whose token it brought."""
        if not self._marks:
            return None
        if self.name not in scope.brought:
            scope.brought[self.name] = self._brought(scope.client)
        written = scope.written.get(self.name)
        mark = later(written.mark if written is not None else None, scope.brought[self.name])
        if mark is not None and mark.position is not None and self.settings.replica_kind != "streaming":
            return Mark(None, mark.at)
        return mark

    def _brought(self, request: Any) -> Mark | None:
        if request is None or not brings_marks(request.environ):
            return None
        tokens = self._find_tokens()
        if tokens is None:
            return None
        marks = tokens.of_request(request.environ)
        return later(marks.get(self.primary.identity or ""), marks.get(self.name))

    def _find_tokens(self) -> Tokens | None:
        """Return what signs marks. The key is C2C_SECRET's, else drawn from what all processes of the service share.

        That is the identity of the database cluster, which every user may ask for and no client knows: URLs may differ
        in host, user and parameters. None as long as no server can be asked.
        """
        if self.primary.identity is None and self.primary.knows_wal:
            self.primary.identity = self._identify()
        if self._tokens is None:
            secret = self.application.secret
            if secret is None and self.primary.identity:
                secret = f"cluster {self.primary.identity}"
            elif secret is None and (self.primary.identity == "" or not self.primary.knows_wal):
                secret = f"{self._url.database}\n{self._url.password}"
                if self.primary.knows_wal:
                    self._say(_NO_IDENTITY)
            if secret is not None:
                self._tokens = Tokens(secret)
        return self._tokens

    def _identify(self) -> str | None:
        if self.settings.replica_kind == "streaming":
            for replica in self.replicas.all:
                replica.look()
                if replica.identity is not None:
                    return replica.identity
        self.primary.ask()
        return self.primary.identity

    def _say(self, message: str, **more: Any) -> None:
        if message not in self._said:
            self._said.add(message)
            _LOG.warning("Database %s: %s", self.name, message, **more)

    # -- errors -------------------------------------------------------------------------------------------------------

    def _on_primary_error(self, context: ExceptionContext) -> BaseException | None:
        failure = _failure(context)
        if failure is Failure.READ_ONLY:
            if context.connection is not None and is_enforced(context.connection):
                return self._read_only_error(context)
            # The primary takes no writes any more: it was demoted, or its host name means another server now.
            context.is_disconnect = True
            self.primary.failed(context.original_exception, takes_connections=True)
        elif failure is Failure.LOST and context.connection is None:
            self.primary.failed(context.original_exception, takes_connections=False)
        return None

    def _on_replica_error(self, context: ExceptionContext) -> BaseException | None:
        return self._read_only_error(context) if _failure(context) is Failure.READ_ONLY else None

    def _read_only_error(self, context: ExceptionContext) -> DatabaseError:
        # The mode may have ended since the session began: what counts is why it is read-only.
        session = user_of(context.connection) if context.connection is not None else None
        scope = current_scope() if session is None else session.scope
        decision = None if session is None else session.decision
        if decision is MAINTENANCE:
            retry_after = self.application.maintenance.retry_after()
            return MaintenanceError("The service is read-only for maintenance: write again later", retry_after)
        return ReadOnlySessionError(
            read_only_message(scope.target, scope.route, decision.reason if decision else "asked")
        )


_NOTHING_SHARED = (
    "what clients carry from writes to reads is signed with a key that anybody can guess, as C2C_SECRET is not set and "
    "the URL has no password: set C2C_SECRET, the same in all processes of the service"
)
_NO_IDENTITY = (
    "clients may not read what they wrote by another process, whose URL has another database name or password: set "
    "C2C_SECRET, the same in all processes, or GRANT EXECUTE ON FUNCTION pg_control_system() to this user"
)


def _open_engines(database: Database) -> tuple[Opened, list[Opened]]:
    """Open the primary's engine and those of the replicas.

    Raises:
        ConfigurationError: A URL can't be read, or an option is unknown.
    """
    primary_name, replica_name = database.engine_names
    url = parse_url(database.url, f"{primary_name}.url")
    primary = open_engine(url, primary_name, database.options, writable=True)
    found = (parse_url(text, f"{replica_name}.url") for text in database.replica_urls)
    urls = [one for one in dict.fromkeys(itertools.chain.from_iterable(map(one_url_a_host, found))) if one != url]
    options = database.options if database.replica_options is None else database.replica_options
    names = (replica_name + (f"_{number}" if len(urls) > 1 else "") for number in itertools.count(1))
    return primary, [open_engine(one, name, options, writable=False) for one, name in zip(urls, names, strict=False)]


def _failure(context: ExceptionContext) -> Failure | None:
    error = context.sqlalchemy_exception
    # SQLAlchemy before 2.0.5 does not tell of errors of a ping, nor know the word.
    return None if error is None or getattr(context, "is_pre_ping", False) else failure_of(error)


def _was_connected(error: Exception) -> bool:
    return bool(getattr(error, "connection_invalidated", False)) and getattr(error, "statement", None) is not None


def _is_usable(replica: Replica) -> bool:
    return replica.look() is State.USABLE
