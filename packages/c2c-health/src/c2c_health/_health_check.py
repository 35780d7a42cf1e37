"""``HealthCheck`` and ``config.add_health_check``: which checks an application has, and their reports."""

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self, Unpack

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError, Masker, settings_of
from c2c_health._check import (
    Check,
    HealthChecked,
    Options,
    Outcome,
    Pace,
    RequestThreadsSeen,
    State,
    Verdict,
    VersionSeen,
    report,
    select,
    taking_request,
)
from c2c_health._probes import Page, look, not_ready, probes
from c2c_health._request_threads import request_threads
from c2c_health._runner import Runner
from c2c_health._settings import HealthSettings

if TYPE_CHECKING:
    from c2c_health.checks.database import QueryCallback
    from c2c_health.checks.url import ResponseCallback
    from c2c_health.version import Versions

_LOG = logging.getLogger(__name__)
CHECKS = "c2c_health.checks"
_FACADE = "health_check"
_OWN_LEVEL = 2
_VERSION = "version"


class Checks:
    """The checks of one application, and their runs."""

    def __init__(self, settings: HealthSettings, registry: Any, masker: Masker) -> None:
        self.settings = settings
        self.made = False  # the application is made: what comes now comes without its configurator
        self.stopping = False
        self.versions: Versions | None = None
        self.pages: dict[str, Page] = {}
        self.queue_listeners: list[Callable[[float], None]] = []
        self.listeners: list[tuple[type, Callable[[Any], None]]] = []
        self.at_live: list[Callable[[Any], None]] = []
        self.runner = Runner(registry, masker, self._heard)
        self._registry = registry
        self._checks: dict[str, Check] = {}
        self._parts: dict[str, State] = {}

    def add(self, check: Check) -> None:
        """Add a check.

        Raises:
            ConfigurationError: There is one of this name.
        """
        if check.name in self._checks:
            raise ConfigurationError(f"Two health checks are named {check.name}: give one of them another name=")
        self._checks[check.name] = check

    @property
    def all(self) -> tuple[Check, ...]:
        """The checks, in the order in which they came."""
        return tuple(self._checks.values())

    def report(
        self, max_level: str | None, names: Sequence[str], request: Any, *, stacktraces: bool = False
    ) -> dict[str, Any]:
        """Return the report of the checks up to ``max_level``, or of those named; run now where it is not known.

        Raises:
            SelectionError: A name or the level can't be right.
        """
        wanted = select(self.all, max_level, names)
        self.runner.start(self.all)
        verdicts = self.runner.run(wanted.checks, request, wanted.highest).values()
        return report(verdicts, self.settings.failure_status, highest=wanted.highest, stacktraces=stacktraces)

    def remembered(self, oldest: float) -> dict[str, Any]:
        """Return the report of level 1 from memory; what is older than ``oldest`` seconds fails."""
        wanted = select(self.all)
        verdicts = self.runner.remembered(wanted.checks, oldest)
        return report(verdicts, self.settings.failure_status, highest=wanted.highest)

    def live(self) -> dict[str, Any]:
        """Return the report of how this process is."""
        return report(look(self.settings), self.settings.failure_status)

    def not_ready(self) -> dict[str, Any] | None:
        """Return a report of why no request should come here now, whatever the checks say; None where nothing does."""
        trouble = not_ready(self.settings, stopping=self.stopping)
        return report([trouble], self.settings.failure_status) if trouble is not None else None

    def run_for_probes(self) -> None:
        """Begin to run what readiness wants to know, and tell how busy the request threads are."""
        self.runner.start(self.all)
        for check in select(self.all).checks:
            if check.interval is None:
                self.runner.run_again(check)
        request_threads.tell()
        members = list(request_threads.family())
        threads = sum(load.threads or 0 for load in members) or None
        self.tell(RequestThreadsSeen(sum(load.busy for load in members), threads, request_threads.backlog()))
        for part in look(self.settings):
            changed = part.state is not self._parts.get(part.name, State.PASSED)
            self._parts[part.name] = part.state
            # Not said in the log, which may be the part that nobody reads.
            self.tell(HealthChecked(f"live_{part.name}", 1, "live", part.state, part.state, 0.0, changed))

    def tell(self, event: Any) -> None:
        """Tell the listeners and Pyramid's subscribers of an event."""
        for listener in [*(one for kind, one in self.listeners if kind is type(event)), self._registry.notify]:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 # somebody else's code: the check has its outcome all the same
                _LOG.exception("A subscriber to %s failed", type(event).__name__)

    def _heard(self, check: Check, outcome: Outcome, now: Verdict, changed: bool) -> None:
        if changed and now.state is State.PASSED:
            _LOG.info("Health check %s passes again", check.name)
        elif changed:
            _LOG.warning("Health check %s %s: %s", check.name, now.state, " ".join((now.message or "").split()))
        states = (outcome.state, now.state)
        self.tell(HealthChecked(check.name, check.level, check.kind, *states, outcome.seconds, changed, outcome.result))

    def go_live(self) -> None:
        """Add what the application did not say itself: its Redis, where one is set, and its version, where known."""
        if self.made:
            return
        self.made = True
        from c2c_health.checks.version import subscribe, version_check

        base = settings_of(self._registry)
        if base.redis_url or base.redis_sentinels:
            from c2c_health.checks.redis import own_redis_check

            check, address = own_redis_check(base, _OWN_LEVEL, self.settings.redis_name)
            if not {check.name, address} & set(self._checks):
                self.add(check)
        if self.versions is not None:
            subscribe(self._registry, self.versions)
            if _VERSION not in self._checks and not any(check.kind == "version" for check in self.all):
                self.add(version_check(self._registry, _VERSION, _OWN_LEVEL, self.tell))
            self.tell(VersionSeen(self.versions.git_hash, 1))
        for function in self.at_live:
            function(self._registry)
        probes.add(self)


def checks_of(registry: Any) -> Checks:
    """Return the checks of an application.

    Raises:
        ConfigurationError: It did not include this package.
    """
    found: Checks | None = registry.get(CHECKS)
    if found is None:
        raise ConfigurationError('There are no health checks here: config.include("c2c_health") is missing')
    return found


def install(registry: Any, settings: HealthSettings, masker: Masker) -> Checks:
    """Return the checks of an application, made at the first call."""
    if CHECKS not in registry:
        registry[CHECKS] = Checks(settings, registry, masker)
    return checks_of(registry)


def shutting_down(registry: Any) -> None:
    """Turn ``GET {base}/health/ready`` red for good: the process was told to stop.

    For servers with a hook for this moment; under gunicorn ``c2c_health.gunicorn`` does more. May be called in a signal
    handler. An application without health checks is fine.
    """
    found: Checks | None = registry.get(CHECKS)
    if found is not None:
        found.stopping = True


class HealthCheck:
    """The checks of an application: ``HealthCheck(config)``, any number of times, is the same object.

    It includes ``c2c_health``. It is ``config.registry["health_check"]`` too, for whoever adds checks later. Every
    ``add_*`` also takes what ``Options`` names. In a process without Pyramid's application, ``report()`` runs the
    checks.
    """

    def __new__(cls, config: Configurator) -> Self:
        """Return the application's own, where there is one already."""
        found = config.registry.get(_FACADE)
        return found if isinstance(found, cls) else super().__new__(cls)

    def __init__(self, config: Configurator) -> None:
        self._config = config
        config.registry.setdefault(_FACADE, self)
        config.include("c2c_health")

    def add_db_session_check(
        self,
        session: Any,
        query_cb: "QueryCallback | None" = None,
        at_least_one_model: Any = None,
        level: int = 1,
        **options: Unpack[Options],
    ) -> None:
        """Check that each engine of a session answers: one check an engine, named ``db_engine_<engine name>``.

        A replica whose reads go to the primary while it is away decides nothing at ``level``: its failure is
        ``degraded`` there, and fails reports from level 2 on.

        With ``at_least_one_model`` there must be a row of it. ``query_cb`` takes a session of the check's own, on that
        engine; its result is the check's. Without both, the server must answer. ``session`` is what
        ``c2c_db.setup_session`` gives (it has ``c2c_rw_bind`` and ``c2c_ro_bind``), or any session or ``sessionmaker``
        with a bind.

        Raises:
            ConfigurationError: The session has no engine, or two engines have one name.
        """
        from c2c_health.checks.database import db_session_checks

        required = self._checks.settings.replica_required
        self._add(
            *db_session_checks(session, query_cb, at_least_one_model, level, replica_required=required, **options)
        )
        self._clean(session)

    def add_alembic_check(
        self,
        session: Any,
        alembic_ini_path: str,
        level: int = 2,
        name: str = "alembic",
        version_schema: str | None = None,
        version_table: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Check that the database is at the heads of the code's migrations; the result is the database's version.

        It is named ``alembic_<path with / as _, stripped>_<name>``, where ``name`` is a section of the ini file. Schema
        and table of the version are these arguments, or the section's ``version_table_schema`` (default ``public``, on
        PostgreSQL) and ``version_table`` (default ``alembic_version``).

        Raises:
            ConfigurationError: The file or its section is missing, or the session has no engine.
        """
        from c2c_health.checks.alembic import alembic_check

        self._add(alembic_check(session, alembic_ini_path, level, name, version_schema, version_table, **options))
        self._clean(session)

    def add_url_check(
        self,
        url: str | Callable[[Any], str],
        params: Any = None,
        headers: Any = None,
        name: str | None = None,
        check_cb: "ResponseCallback" = lambda _request, _response: None,
        timeout: float = 3,
        level: int = 1,
        **pace: Unpack[Pace],
    ) -> None:
        """Check that a GET of ``url`` is answered with 2xx; what ``check_cb(request, response)`` returns is the result.

        ``url``, ``params`` and ``headers`` may be functions of the request, whose id (``X-Request-ID``) is sent along.
        It is named by the URL without user, password and query, by the function's name, or ``url`` where that has none.
        Redirects are followed.

        Raises:
            ConfigurationError: It is no URL.
        """
        from c2c_health.checks.url import url_check

        self._add(url_check(url, params, headers, name, check_cb, timeout, level, **pace))

    def add_redis_check(self, url: str, name: str | None = None, level: int = 1, **options: Unpack[Options]) -> None:
        """Check that a Redis answers PING. It is named by the URL without user and password.

        The Redis of the settings has such a check by itself, at level 2.

        Raises:
            ConfigurationError: It is no URL of a Redis, or redis-py is not installed.
        """
        if find_spec("redis") is None:
            raise ConfigurationError("The Redis check needs redis: pip install 'c2c-health[redis]'")
        from c2c_health.checks.redis import redis_check

        self._add(redis_check(url, name, level, **options))

    def add_version_check(self, name: str = "version", level: int = 2, **options: Unpack[Options]) -> None:
        """Check that all processes of the service run one version: ``{"version": hash, "count": processes}``.

        It is there by itself where there is a version file; this is to have it under another name or level.
        """
        from c2c_health.checks.version import version_check

        self._add(version_check(self._config.registry, name, level, self._checks.tell, **options))

    def add_custom_check(
        self, name: str, check_cb: Callable[..., Any], level: int = 1, **options: Unpack[Options]
    ) -> None:
        """Check whatever ``check_cb`` checks: it takes the request, returns something JSON can hold, or raises.

        It may raise ``JsonCheckException(message, json)`` to say more, and ``Degraded(message)`` to pass with a
        warning.

        Raises:
            ConfigurationError: ``check_cb`` can't be called with the request, or a value makes no sense.
        """
        self._add(Check(name=name, run=taking_request(name, check_cb), level=level, **options))

    def add_probe_page(self, path: str, page: Page) -> None:
        """Give the probe address a page: ``page()`` returns its content type and its body, in a thread of its own."""
        self._checks.pages[path] = page

    def on_queue_time(self, observe: Callable[[float], None]) -> None:
        """Have ``observe`` told for how many seconds a request waited for a thread, by ``X-Request-Start``."""
        self._checks.queue_listeners.append(observe)

    def on_event(self, kind: type, listener: Callable[[Any], None]) -> None:
        """Have ``listener`` told of each ``HealthChecked``, ``RequestThreadsSeen`` or ``VersionSeen``.

        As ``config.add_subscriber`` does; but with one subscriber, Pyramid notifies five events in each request.
        """
        self._checks.listeners.append((kind, listener))

    def when_live(self, function: Callable[[Any], None]) -> None:
        """Call ``function(registry)`` when the application is made, to add checks of what is known by then."""
        self._checks.at_live.append(function)

    def start(self) -> None:
        """Begin the background runs (``interval``) now, in a daemon; in a service the first request does it."""
        self._checks.runner.start(self._checks.all)

    def report(self, max_level: int | None = None, checks: Sequence[str] = (), request: Any = None) -> dict[str, Any]:
        """Run the checks up to ``max_level`` (default 1), or those named, and return the report, as the view gives it.

        Raises:
            ValueError: One of ``checks`` is unknown.
        """
        if not self._checks.made:
            self._config.commit()
            self._checks.go_live()
        return self._checks.report(None if max_level is None else str(max_level), checks, request)

    @property
    def _checks(self) -> Checks:
        return checks_of(self._config.registry)

    def _clean(self, session: Any) -> None:
        """Close this session in the threads of checks that used it.

        One whose scope is something else than the thread (the request, mostly) is left to whoever ends that.
        """
        from sqlalchemy.util import ThreadLocalRegistry

        of_thread = isinstance(getattr(session, "registry", None), ThreadLocalRegistry)
        remove, clean = getattr(session, "remove", None), self._checks.runner.clean
        if remove is not None and remove not in clean and (of_thread or hasattr(session, "c2c_rw_bind")):
            clean.append(remove)

    def _add(self, *checks: Check) -> None:
        for check in checks:
            # Two frames up is who called our caller: file and line for a conflict.
            self._config.add_health_check(check, _backframes=2)


def add_health_check(
    config: Configurator,
    check: Check | str,
    check_cb: Callable[..., Any] | None = None,
    level: int = 1,
    **options: Unpack[Options],
) -> None:
    """Add a check: ``config.add_health_check("disk", check_cb, level=2)``, or a ``Check``.

    ``check_cb`` takes the request (or nothing), and returns something JSON can hold (or None), or raises. See
    ``Options`` for what else one may say.

    Raises:
        ConfigurationError: The check makes no sense, or there are two of one name.
    """
    if not isinstance(check, Check):
        if check_cb is None:
            raise ConfigurationError(f"Health check {check}: add_health_check(name, check_cb) wants a function")
        check = Check(name=check, run=taking_request(str(check), check_cb), level=level, **options)
    elif check_cb is not None or level != 1 or options:
        raise ConfigurationError(f"Health check {check.name}: a Check says everything itself, leave the rest out")
    checks = checks_of(config.registry)
    if checks.made:
        checks.add(check)
        return
    # As said by the application itself, whoever says it: a check of an included package that is silently replaced by
    # another of its name would be one that is never red.
    path, config.includepath = config.includepath, ()
    try:
        config.action(("c2c health check", check.name), checks.add, args=(check,))
    finally:
        config.includepath = path
