"""``HealthCheck`` and ``config.add_health_check``: which checks an application has, and their reports."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError, Masker, broadcast, settings_of
from c2c_health._check import (
    Check,
    HealthChecked,
    Options,
    Outcome,
    RequestThreadsSeen,
    Selection,
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
from c2c_health.checks.alembic import Migrations
from c2c_health.checks.database import Databases
from c2c_health.checks.redis import Redises, own_redis_check
from c2c_health.checks.url import Urls
from c2c_health.checks.version import Versions, channel

if TYPE_CHECKING:
    from c2c_health import version

_LOG = logging.getLogger(__name__)
CHECKS = "c2c_health.checks"
_FACADE = "health_check"
_OWN_LEVEL = 2
_VERSION = "version"
_MOST_UNKNOWN = 100  # anybody may ask for names that are not there


class Checks:
    """The checks of one application, and their runs."""

    def __init__(self, settings: HealthSettings, registry: Any, masker: Masker) -> None:
        self.settings = settings
        self.made = False  # the application is made: what comes now comes without its configurator
        self.stopping = False
        self.versions: version.Versions | None = None
        self.pages: dict[str, Page] = {}
        self.queue_listeners: list[Callable[[float], None]] = []
        self.listeners: list[tuple[type, Callable[[Any], None]]] = []
        self.at_live: list[Callable[[Any], None]] = []
        self.runner = Runner(registry, masker, self._heard)
        self._registry = registry
        self._checks: dict[str, Check] = {}
        self._parts: dict[str, State] = {}
        self._unknown: set[str] = set()

    def add(self, check: Check) -> None:
        """Add a check; ConfigurationError where there is one of this name."""
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
        """Return the report of what ``select`` finds; run now where it is not known."""
        wanted = self.select(max_level, names)
        self.runner.start(self.all)
        verdicts = self.runner.run(wanted.checks, request, wanted.highest).values()
        found = report(verdicts, self.settings.failure_status, highest=wanted.highest, stacktraces=stacktraces)
        return {**found, "unknown": wanted.unknown} if wanted.unknown else found

    def select(self, max_level: str | None, names: Sequence[str]) -> Selection:
        """Return what a report is about; unknown names that are let pass are said once."""
        found = select(self.all, max_level, names, tolerant=self.settings.unknown_checks == "report")
        new = sorted({name[:100] for name in found.unknown} - self._unknown)
        if new and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.update(new)
            _LOG.warning("Health checks that are asked for are not there: %s", ", ".join(map(repr, new)))
        return found

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
        base = settings_of(self._registry)
        if base.redis_url or base.redis_sentinels:
            check, address = own_redis_check(base, _OWN_LEVEL, self.settings.redis_name)
            if not {check.name, address} & set(self._checks):
                self.add(check)
        if self.versions is not None:
            answer = {"git_hash": self.versions.git_hash, "git_tag": self.versions.git_tag}
            broadcast.subscribe(channel(self._registry), lambda: answer)
            if _VERSION not in self._checks and not any(check.kind == "version" for check in self.all):
                self._registry[_FACADE].add_version_check(_VERSION, _OWN_LEVEL)
            self.tell(VersionSeen(self.versions.git_hash, 1))
        uwsgi = sys.modules.get("uwsgi")
        if uwsgi is not None and uwsgi.worker_id() == 0:
            _LOG.warning("uWSGI forks without telling Python, so no check would end in a worker: set lazy-apps = true")
        for function in self.at_live:
            function(self._registry)
        probes.add(self)


def checks_of(registry: Any) -> Checks:
    """Return the checks of an application; ConfigurationError where it did not include this package."""
    found: Checks | None = registry.get(CHECKS)
    if found is None:
        raise ConfigurationError('There are no health checks here: config.include("c2c_health") is missing')
    return found


def shutting_down(registry: Any) -> None:
    """Turn ``GET {base}/health/ready`` red for good: the process was told to stop.

    For servers with a hook for this moment; under gunicorn ``c2c_health.gunicorn`` does more. May be called in a signal
    handler. An application without health checks is fine.
    """
    found: Checks | None = registry.get(CHECKS)
    if found is not None:
        found.stopping = True


class HealthCheck(Databases, Migrations, Redises, Urls, Versions):
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
        super().__init__(config)
        config.registry.setdefault(_FACADE, self)
        config.include("c2c_health")
        self._checks = checks_of(config.registry)
        self.settings = self._checks.settings

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

    def _add(self, check: Check, clean: Callable[[], Any] | None = None) -> None:
        # Two frames up is who called our caller: file and line for a conflict.
        self._config.add_health_check(check, _backframes=2)
        if clean is not None and clean not in self._checks.runner.clean:
            self._checks.runner.clean.append(clean)


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
