"""A database: what an application says about it, and the same at work: the engine of each session, moves, marks."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from zope.sqlalchemy import mark_changed

from c2c_broadcast import ConfigurationError, load, settings_of
from c2c_broadcast.settings import warn_once
from c2c_db._engines import can_enforce, enforce, enforce_always, open_engines, reset_on_return
from c2c_db._failures import Failure, MaintenanceError, ReadOnlySessionError, failure_of
from c2c_db._maintenance import Maintenance
from c2c_db._marks import WINDOW, Mark, Tokens, Written, brings_marks, later
from c2c_db._replica import PRIMARY_AWAY, DbSettings, Replica, Replicas, ReplicaStatus, State
from c2c_db._scope import MAINTENANCE, Condition, Decision, Role, Scope, current_scope, make_rules, scope_of
from c2c_db._server import COMMITS, Primary, Server, StateChanged
from c2c_db._session import SESSION, DatabaseSession, DatabaseSessionmaker, Effect, RoutedSession, watch_statements

_LOG = logging.getLogger(__name__)
_KEY = "c2c_db.application"

# Within a URL a comma parts its hosts: one between URLs has white space, or a scheme, after it.
_BETWEEN_URLS = re.compile(r",?\s+|,(?=[\w+]+://)")

_NOTHING_SHARED = (
    "Database %s: clients may not read what they wrote by another process (without C2C_SECRET their marks have a key "
    "from the URL's database and password, which may differ, or be guessed): set C2C_SECRET, the same in all processes"
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
    name: str = "dbsession"
    engine_name: str | None = None
    replica_engine_name: str | None = None
    force_master: Iterable[Condition] | None = None
    force_slave: Iterable[Condition] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    replica_options: Mapping[str, Any] | None = None

    @property
    def engine_names(self) -> tuple[str, str]:
        primary = self.engine_name or ("sqlalchemy" if self.name == "dbsession" else self.name)
        return primary, self.replica_engine_name or f"{primary}_slave"

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        prefix: str = "sqlalchemy",
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


@dataclass(frozen=True, slots=True)
class Decided:
    """A session got its engine: ``role`` is the side it works on, ``reason`` why it is this engine."""

    engine: str
    role: Role
    reason: str


Observer = Callable[[Decided | StateChanged | ReplicaStatus], object]


class Application:
    """What the databases of one application (of a script without a ``registry``) share."""

    def __init__(self, registry: Any = None) -> None:
        self.serves = registry is not None
        self.settings = load(DbSettings, (registry.settings or {}) if self.serves else {})
        self.secret = settings_of(registry).secret if self.serves else None
        self.observers: list[Observer] = []
        self._failed: set[Observer] = set()
        self.maintenance = Maintenance(can_be_switched=self.settings.maintenance_view_enabled)
        self.databases: dict[str, RunningDatabase] = {}

    def notify(self, event: Any) -> None:
        for observer in self.observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 # an observer must not break the request it watches
                if observer not in self._failed:
                    self._failed.add(observer)
                    _LOG.exception("A database observer failed (said once): %r", observer)


def application_of(registry: Any) -> Application:
    if _KEY not in registry:
        registry[_KEY] = Application(registry)
    application: Application = registry[_KEY]
    return application


def databases(registry: Any) -> "dict[str, RunningDatabase]":
    """Return the databases of an application, by the name of the primary's engine."""
    return application_of(registry).databases


class RunningDatabase:
    """One database of one application (or script)."""

    def __init__(self, database: Database, application: Application) -> None:
        self.name, _ = database.engine_names
        self.application = application
        self.settings = settings = application.settings
        self.rules = make_rules(database.force_master, database.force_slave)
        # Under READ COMMITTED, the default, each statement sees what is committed when it starts.
        self.isolates = "isolation_level" in {**database.options, **(database.replica_options or {})}
        first, others = open_engines(database)
        timeout = settings.primary_timeout if application.serves else None
        self.primary = Primary(first, application.notify, timeout)
        replicas = [Replica(self.primary, one, timeout, settings) for one in others]
        self.replicas = Replicas(self.primary, replicas, settings)
        self.leaves_marks = settings.read_your_writes != "off" and bool(replicas)
        self._window = settings.read_your_writes if isinstance(settings.read_your_writes, float) else WINDOW
        self._knows_positions = settings.replica_kind == "streaming"
        self._tokens: Tokens | None = None
        self.servers: dict[Engine, Server] = {server.engine: server for server in (self.primary, *replicas)}
        for engine, server in self.servers.items():
            is_replica = server is not self.primary
            # For those who watch it: one whose reads go on elsewhere is degraded when it is away.
            fails_over = is_replica and (settings.replica_failover == "primary" or len(replicas) > 1)
            role = Role.REPLICA if is_replica else Role.PRIMARY
            vars(engine).update(c2c_name=server.name, c2c_role=str(role), c2c_fails_over=fails_over)
            (enforce_always if is_replica and settings.enforce_readonly else reset_on_return)(engine)
            watch_statements(engine)
            event.listen(engine, "handle_error", self._on_error)
        self.maker = DatabaseSessionmaker(self)
        self.scoped_session = RoutedSession(self)
        has_key = application.secret or self.primary.engine.url.password or self.primary.is_postgresql
        if self.leaves_marks and not has_key:
            warn_once(_LOG, _NOTHING_SHARED, self.name)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The primary's, and the replicas'; ``engine.c2c_name`` and ``engine.c2c_role`` tell which it is."""
        return tuple(self.servers)

    def replica_states(self) -> tuple[ReplicaStatus, ...]:
        """Return the state of each replica, probed where it has not been lately (1 s at most)."""
        for replica in self.replicas.all:
            replica.look()
        return tuple(replica.status for replica in self.replicas.all)

    def close(self) -> None:
        for server in self.servers.values():
            server.close()

    def decide(self, scope: Scope) -> Decision:
        return MAINTENANCE if self.application.maintenance.readonly else scope.decide(self.rules)

    def session(self, scope: Scope) -> DatabaseSession:
        decision = self.decide(scope)
        key = (id(self), decision.role)
        session: DatabaseSession | None = scope.sessions.get(key)
        if session is None:
            session = scope.sessions[key] = self.maker.make(scope, decision)
        else:
            session.decision = decision
        return session

    def __get__(self, request: Any, owner: Any = None) -> Any:
        """Be ``request.dbsession``: this thread's session of this request, which may be handled by another thread.

        It is asked for at each access: ``with use_primary():`` and other threads get another session. What is assigned
        to the attribute, in a test for example, is there instead.
        """
        if request is None:
            return self
        scope = current_scope()
        return self.session(scope if scope.request is request else scope_of(request))

    def choose(self, session: DatabaseSession) -> Engine:
        """Return the engine for a session that begins; raise UnavailableError where there is none."""
        server: Server = self.primary
        reason = None
        if session.role is Role.REPLICA and self.replicas.all:
            server, reason = self.replicas.choose(self._mark(session.scope))
        server.refuse()
        return self._decided(server, session.role, reason or session.decision.reason)

    def fail_over(self, session: DatabaseSession, error: Exception) -> Engine | None:
        """Return the engine to go on with after a read failed, None where that is no fault of the server's."""
        failure, engine = failure_of(error), session.bind
        if failure in {None, Failure.READ_ONLY} or not isinstance(engine, Engine):
            return None
        is_lost, is_first = failure is Failure.LOST, engine not in session.tried
        session.tried.append(engine)
        mark = self._mark(session.scope)
        server = self.servers.get(engine)
        if not isinstance(server, Replica):
            last = self.replicas.last_resort(mark, session.tried) if is_lost else None
            return None if last is None else self._decided(last, session.role, PRIMARY_AWAY)
        if is_lost:
            was_connected = getattr(error, "connection_invalidated", False) and getattr(error, "statement", None)
            if is_first and was_connected and server.look() is State.USABLE:
                return engine  # One connection that was lost says little about the server: a new one tells.
            server.failed(getattr(error, "orig", error))
        other, reason = self.replicas.choose(mark, session.tried, str(failure))
        return self._decided(other, session.role, reason or str(failure))

    def begun(self, session: DatabaseSession, connection: Connection) -> None:
        """Make what a session of the replica side begins READ ONLY."""
        server = self.servers.get(connection.engine)
        if server is None:  # an engine of the application's own: nobody sees what is done there
            session.is_movable = False
            mark_changed(session, session.manager)
            return
        session.may_write = True
        if session.role is Role.REPLICA:
            if (self.settings.enforce_readonly or session.decision is MAINTENANCE) and can_enforce(connection.engine):
                enforce(connection)
                session.may_write = False
            elif server is not self.primary and server.is_postgresql:
                session.may_write = not self._knows_positions  # a stand-by is read-only by itself

    def committing(self, session: DatabaseSession) -> None:
        """Ask the server whether a session has written, where that is not sure and somebody wants to know."""
        connection = session.begun.get(self.primary.engine)
        if connection is None or connection.invalidated:
            return
        if session.effect is Effect.UNSURE and self.leaves_marks:
            session.effect = Effect.WRITES if self.primary.has_written(connection) else Effect.READS
        connection.info[COMMITS] = time.monotonic()  # until it goes back to its pool

    def committed(self, session: DatabaseSession) -> None:
        """Mark what a session committed, so that its client reads it. It is committed: nothing raises now."""
        connection = session.begun.get(self.primary.engine)
        if session.effect is Effect.READS or connection is None:
            return
        try:
            self.primary.alive_at = time.monotonic()
            self.primary.is_back()
            if not self.leaves_marks:
                return
            asks = self._knows_positions and self.settings.read_your_writes == "lsn"
            mark = Mark(self.primary.position_after_commit(connection) if asks else None, time.time())
            tokens = self._find_tokens()
            if tokens is not None:
                session.scope.written[self.name] = Written(tokens, self.primary.identity or self.name, mark)
        except Exception as error:  # noqa: BLE001 # a write that fails after its commit is done twice by its client
            warn_once(_LOG, "Database %s: a commit has no mark (%r): its client may not read it", self.name, error)

    def _decided(self, server: Server, role: Role, reason: str) -> Engine:
        self.application.notify(Decided(server.name, role, reason))
        return server.engine

    def _mark(self, scope: Scope) -> Mark | None:
        """Return what the client wrote last: in this request, or in one whose token it brought.

        Without a position it is so recent that no replica is trusted to have it.
        """
        if not self.leaves_marks:
            return None
        if self.name not in scope.brought:
            request, brought = scope.client, None
            if request is not None and brings_marks(request.environ) and (tokens := self._find_tokens()) is not None:
                marks = tokens.of_request(request.environ)
                brought = later(marks.get(self.primary.identity or ""), marks.get(self.name))
            scope.brought[self.name] = brought
        written = scope.written.get(self.name)
        mark = later(written.mark if written is not None else None, scope.brought[self.name])
        if mark is None or (mark.position is not None and self._knows_positions):
            return mark
        return Mark(None, mark.at) if time.time() - mark.at < self._window else None

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
                    remedy = "or GRANT EXECUTE ON FUNCTION pg_control_system() to this user"
                    warn_once(_LOG, f"{_NOTHING_SHARED}, {remedy}", self.name)
            if secret is not None:
                self._tokens = Tokens(secret)
        return self._tokens

    def _identify(self) -> None:
        for replica in self.replicas.all if self._knows_positions else ():
            replica.look()
            if replica.identity is not None:
                self.primary.identity = replica.identity
                return
        if not self.primary.is_away:
            self.primary.doubt(time.monotonic())
            self.primary.wait_for(lambda: self.primary.identity is not None)

    def _on_error(self, context: ExceptionContext) -> BaseException | None:
        error, connection = context.sqlalchemy_exception, context.connection
        # SQLAlchemy before 2.0.5 does not tell of errors of a ping, nor know the word.
        failure = None if error is None or getattr(context, "is_pre_ping", False) else failure_of(error)
        is_replica = isinstance(self.servers.get(context.engine), Replica)  # type: ignore[arg-type]
        session: DatabaseSession | None = None if connection is None else vars(connection).get(SESSION)
        if failure is Failure.READ_ONLY:
            if is_replica or (session is not None and not session.may_write):
                # The mode may have ended since the session began: what counts is why it is read-only.
                if session is not None and session.decision is MAINTENANCE:
                    said = "The service is read-only for maintenance: write again later"
                    return MaintenanceError(said, self.application.maintenance.retry_after())
                return ReadOnlySessionError.of(session)
            # The primary takes no writes any more: it was demoted, or its host name means another server now.
            context.is_disconnect = True
            self.primary.failed(context.original_exception)
        elif failure is Failure.LOST and connection is None and not is_replica:
            self.primary.failed(context.original_exception)
        return None
