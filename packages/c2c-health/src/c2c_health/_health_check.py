"""``HealthCheck``: which checks an application has, and their reports."""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, Unpack

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError, broadcast, load, masker_of, settings_of
from c2c_broadcast.settings import warn_once
from c2c_health._check import (
    MOST,
    Check,
    HealthChecked,
    Options,
    RequestThreadsSeen,
    SelectionError,
    State,
    Verdict,
    VersionSeen,
)
from c2c_health._probes import Page, look, probes, request_threads
from c2c_health._runner import Runner
from c2c_health._settings import HealthSettings
from c2c_health.checks.alembic import Migrations
from c2c_health.checks.database import Databases
from c2c_health.checks.redis import Redises, own_redis_check
from c2c_health.checks.url import Urls
from c2c_health.gunicorn import linger
from c2c_health.version import VersionChecks, channel, read

_LOG = logging.getLogger(__name__)
_KEY = "health_check"
_MOST_UNKNOWN = 100  # anybody may ask for names that are not there


class HealthCheck(Databases, Migrations, Redises, Urls, VersionChecks):
    """The checks of an application, and their reports: ``HealthCheck(config)``, however often, is the same object.

    It includes ``c2c_health``. It is ``config.registry["health_check"]`` too, for whoever adds checks later. Every
    ``add_*`` also takes what ``Options`` names. In a process without Pyramid's application, ``report()`` runs the
    checks.
    """

    def __new__(cls, config: Configurator) -> Self:
        """Return the application's own, where there is one already."""
        found = config.registry.get(_KEY)
        if found is None:
            return super().__new__(cls)
        if not isinstance(found, cls):
            found.__class__ = cls  # with methods more: c2c-compat's
        return found  # type: ignore[no-any-return]

    def __init__(self, config: Configurator) -> None:
        if _KEY in config.registry:
            return
        config.include("c2c_broadcast")
        self._config, self._registry = config, config.registry
        self.settings = load(HealthSettings, config.get_settings())
        self.versions = read(self.settings.versions_path)
        self.runner = Runner(self._registry, masker_of(self._registry), self._heard)
        self.pages: dict[str, Page] = {}
        self.queue_listeners: list[Callable[[float], None]] = []
        self._listeners: list[tuple[type, Callable[[Any], None]]] = []
        self._at_live: list[Callable[[Any], None]] = []
        self._checks: dict[str, Check] = {}
        self._live = False
        self._parts: dict[str, State] = {}
        self._unknown: set[str] = set()
        self._registry[_KEY] = self
        config.include("c2c_health")

    def add_custom_check(
        self, name: str, check_cb: Callable[[Any], Any], level: int = 1, **options: Unpack[Options]
    ) -> None:
        """Check whatever ``check_cb`` checks: it takes the request, returns something JSON can hold, or raises.

        It may raise ``JsonCheckException(message, json)`` to say more, and ``Degraded(message)`` to pass with a
        warning.

        Raises:
            ConfigurationError: ``check_cb`` can't be called with the request, or a value makes no sense.
        """
        self.add(Check(name=name, run=check_cb, level=level, **options))

    def add(self, check: Check, clean: Callable[[], Any] | None = None) -> None:
        """Add a check of a new name; ``clean`` is called after each run of any check, in its thread."""
        if check.name in self._checks:
            raise ConfigurationError(f"Two health checks are named {check.name}: give one of them another name=")
        self._checks[check.name] = check
        if clean is not None and clean not in self.runner.clean:
            self.runner.clean.append(clean)

    def add_probe_page(self, path: str, page: Page) -> None:
        """Give the probe address a page: ``page()`` returns its content type and its body, in a thread of its own."""
        self.pages[path] = page

    def on_queue_time(self, observe: Callable[[float], None]) -> None:
        """Have ``observe`` told for how many seconds a request waited for a thread, by ``X-Request-Start``."""
        self.queue_listeners.append(observe)

    def on_event(self, kind: type, listener: Callable[[Any], None]) -> None:
        """Have ``listener`` told of each ``HealthChecked``, ``RequestThreadsSeen`` or ``VersionSeen``.

        As ``config.add_subscriber`` does; but with one subscriber, Pyramid notifies five events in each request.
        """
        self._listeners.append((kind, listener))

    def when_live(self, function: Callable[[Any], None]) -> None:
        """Call ``function(registry)`` when the application is made, to add checks of what is known by then."""
        self._at_live.append(function)

    @property
    def all(self) -> tuple[Check, ...]:
        """The checks, in the order in which they came."""
        return tuple(self._checks.values())

    def start(self) -> None:
        """Begin the background runs (``interval``) now, in a daemon; in a service the first request does it."""
        self.runner.start(self.all)

    def report(
        self,
        max_level: int | str | None = None,
        checks: Sequence[str] = (),
        request: Any = None,
        *,
        stacktraces: bool = False,
    ) -> dict[str, Any]:
        """Run the checks up to ``max_level`` (default 1), or those named, and return the report, as the view gives it.

        Raises:
            ValueError: One of ``checks`` is unknown, or ``max_level`` is none.
        """
        if not self._live:
            self._config.commit()
            self.go_live()
        wanted, highest, unknown = self.select(max_level, checks)
        self.start()
        verdicts = self.runner.run(wanted, request, highest).values()
        found = self._report(verdicts, highest, stacktraces=stacktraces)
        return {**found, "unknown": unknown} if unknown else found

    def select(
        self, max_level: int | str | None = None, names: Sequence[str] = ()
    ) -> tuple[list[Check], int, list[str]]:
        """Return the checks that are asked for, the level up to which a failure fails the report, and unknown names.

        They are those up to ``max_level`` (default 1) of these names (all, where there are none). Checks that are named
        run whatever their level, unless a ``max_level`` comes with them. Those of a higher level that are shown at this
        one are among them. Unknown names that the settings let pass are said once.

        Raises:
            SelectionError: A name or the level can't be right.
        """
        wanted = [name for names_ in names for name in map(str.strip, names_.split(",")) if name]
        unknown = sorted(set(wanted) - set(self._checks))
        if unknown and (self.settings.unknown_checks == "refuse" or set(wanted) == set(unknown)):
            there_are = ", ".join(sorted(self._checks)) or "none"
            raise SelectionError(f"Unknown health check: {', '.join(unknown)}. There are: {there_are}")
        new = sorted({name[:100] for name in unknown} - self._unknown)
        if new and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.update(new)
            _LOG.warning("Health checks that are asked for are not there: %s", ", ".join(map(repr, new)))
        if max_level is None:
            max_level = MOST if wanted else 1
        if not re.fullmatch("[0-9]{1,9}", str(max_level)):
            levels = ", ".join(map(str, sorted({0, *(check.level for check in self.all)})))
            given = repr(max_level)[:50]
            raise SelectionError(f"max_level must be a whole number from 0, not {given}. Levels here: {levels}")
        highest = int(max_level)
        named = [check for check in self.all if not wanted or check.name in wanted]
        found = [check for check in named if (check.shown_from or check.level) <= highest]
        if wanted and not found and highest > 0:
            above = ", ".join(f"{check.name} ({check.level})" for check in named)
            raise SelectionError(f"max_level={highest} leaves none of the named checks: their levels are {above}")
        return found, highest, unknown

    def _report(
        self, verdicts: Iterable[Verdict], highest: float = float("inf"), *, stacktraces: bool = False
    ) -> dict[str, Any]:
        """Return the report: ``status`` is there when something failed; ``timing`` is in seconds.

        A failure of a level above ``highest`` is a success that tells its trouble: ``outcome`` is ``degraded``.
        """
        found: dict[str, dict[str, Any]] = {"successes": {}, "failures": {}}
        for verdict in verdicts:
            passing = verdict.passing or verdict.level > highest
            entry: dict[str, Any] = {"timing": round(verdict.seconds, 6), "level": verdict.level}
            if verdict.state is not State.PASSED:
                entry["message"] = verdict.message
                if passing:
                    entry["outcome"] = str(State.DEGRADED)
            if verdict.result is not None:
                entry["result"] = verdict.result
            if stacktraces and verdict.stacktrace and not verdict.passing:
                entry["stacktrace"] = verdict.stacktrace
            found["successes" if passing else "failures"][verdict.name] = entry
        return {"status": self.settings.failure_status, **found} if found["failures"] else found

    def remembered(self) -> dict[str, Any]:
        """Return the report of level 1 from memory; what is too old fails."""
        checks, highest, _ = self.select()
        return self._report(self.runner.remembered(checks), highest)

    def live(self) -> dict[str, Any]:
        """Return the report of how this process is."""
        return self._report(look(self.settings))

    def not_ready(self) -> dict[str, Any] | None:
        """Return a report of why no request should come here now, whatever the checks say; None where nothing does."""
        limit = self.settings.ready_busy_seconds
        busy = request_threads.all_full_for() if limit else 0.0
        if linger.stopping:
            name, message = "shutting_down", "the service was told to stop"
        elif limit and busy >= limit:
            name, message = "busy", f"all request threads have been busy for {busy:.1f} s"
        else:
            return None
        return self._report([Verdict(name, 1, State.FAILED, message)])

    def run_for_probes(self) -> None:
        """Begin to run what readiness wants to know, and tell how busy the request threads are."""
        self.start()
        for check in self.select()[0]:
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
        for listener in [*(one for kind, one in self._listeners if kind is type(event)), self._registry.notify]:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 # somebody else's code: the check has its outcome all the same
                _LOG.exception("A subscriber to %s failed", type(event).__name__)

    def _heard(self, check: Check, run: Verdict, now: Verdict, changed: bool) -> None:
        if changed and now.state is State.PASSED:
            _LOG.info("Health check %s passes again", check.name)
        elif changed:
            _LOG.warning("Health check %s %s: %s", check.name, now.state, " ".join((now.message or "").split()))
        about = (check.name, check.level, check.kind)
        self.tell(HealthChecked(*about, run.state, now.state, run.seconds, changed, run.result))

    def go_live(self) -> None:
        """Add what the application did not say itself: its Redis, where one is set, and its version, where known."""
        if self._live:
            return
        self._live = True
        broadcast.subscribe(
            channel("check", self._registry),
            lambda max_level, checks: self.report(max_level, checks, stacktraces=True),
        )
        base = settings_of(self._registry)
        if base.redis_url or base.redis_sentinels:
            check, address = own_redis_check(base, self.settings.redis_name)
            if not {check.name, address} & set(self._checks):
                self.add(check)
        if self.versions is not None:
            answer = {"git_hash": self.versions.git_hash, "git_tag": self.versions.git_tag}
            broadcast.subscribe(channel("version", self._registry), lambda: answer)
            if not any(check.kind == "version" for check in self.all):
                self.add_version_check()
            self.tell(VersionSeen(self.versions.git_hash, 1))
        uwsgi = sys.modules.get("uwsgi")
        if uwsgi is not None and uwsgi.worker_id() == 0:
            warn_once(
                _LOG, "uWSGI forks without telling Python, so no check would end in a worker: set lazy-apps = true"
            )
        for function in self._at_live:
            function(self._registry)
        probes.add(self)
