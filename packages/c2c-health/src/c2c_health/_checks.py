"""The checks of one application."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from c2c_broadcast import ConfigurationError, Masker
from c2c_health._check import Check
from c2c_health._events import HealthChecked, VersionSeen
from c2c_health._interval import Interval
from c2c_health._outcomes import Outcome, State, Verdict
from c2c_health._perform import Performer
from c2c_health._report import report
from c2c_health._runner import Runner
from c2c_health._selection import select
from c2c_health._settings import HealthSettings

if TYPE_CHECKING:
    from c2c_health._versions import Versions

_LOG = logging.getLogger(__name__)
_KEY = "c2c_health.checks"


class Checks:
    """The checks of one application, and their runs."""

    def __init__(self, settings: HealthSettings, registry: Any, masker: Masker) -> None:
        self.settings = settings
        self.live = False  # the application is made: what comes now comes without its configurator
        self.stopping = False
        self.versions: Versions | None = None
        self._registry = registry
        self._checks: dict[str, Check] = {}
        self.perform = Performer(masker, registry)
        self.runner = Runner(self.perform, self._heard)
        self._interval = Interval(lambda: self.all, self._begin_by_interval)

    def add(self, check: Check) -> None:
        """Add a check.

        Raises:
            ConfigurationError: There is one of this name.
        """
        if check.name in self._checks:
            raise ConfigurationError(f"Two health checks are named {check.name}: give one of them another name=")
        self._checks[check.name] = check

    def named(self, name: str) -> bool:
        """Whether there is a check of this name."""
        return name in self._checks

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
        self._interval.start()
        verdicts = self.runner.run(wanted.checks, request, wanted.highest).values()
        status = self.settings.failure_status
        return report(verdicts, highest=wanted.highest, failure_status=status, stacktraces=stacktraces)

    def close(self) -> None:
        """End the threads, each after what it does. What is run later starts them again."""
        self._interval.close()
        self.runner.close()

    def start(self) -> None:
        """Begin the background runs of checks with an ``interval`` now, instead of with the first request."""
        self._interval.start()

    def version_seen(self, version: str, count: int) -> None:
        """Tell the subscribers to ``VersionSeen``."""
        self._notify(VersionSeen(version, count))

    def _begin_by_interval(self, check: Check) -> None:
        self.runner.run_again(check)

    def _heard(self, check: Check, outcome: Outcome, now: Verdict, changed: bool) -> None:
        if changed:
            if now.state is State.PASSED:
                _LOG.info("Health check %s passes again", check.name)
            else:
                _LOG.warning("Health check %s %s: %s", check.name, now.state, _one_line(now.message or ""))
        event = HealthChecked(check.name, check.level, check.kind, outcome.state, now.state, outcome.seconds, changed)
        self._notify(event)

    def _notify(self, event: Any) -> None:
        try:
            self._registry.notify(event)
        except Exception:  # noqa: BLE001 # somebody else's code: the check has its outcome all the same
            _LOG.exception("A subscriber to %s failed", type(event).__name__)


def checks_of(registry: Any) -> Checks:
    """Return the checks of an application.

    Raises:
        ConfigurationError: It did not include this package.
    """
    found: Checks | None = registry.get(_KEY)
    if found is None:
        raise ConfigurationError('There are no health checks here: config.include("c2c_health") is missing')
    return found


def install(registry: Any, settings: HealthSettings, masker: Masker) -> Checks:
    """Return the checks of an application, made at the first call."""
    if _KEY not in registry:
        registry[_KEY] = Checks(settings, registry, masker)
    return checks_of(registry)


def shutting_down(registry: Any) -> None:
    """Turn ``GET {base}/health/ready`` red for good: the process was told to stop.

    For servers with a hook for this moment; under gunicorn ``c2c_health.gunicorn`` does more. May be called in a signal
    handler. An application without health checks is fine.
    """
    found: Checks | None = registry.get(_KEY)
    if found is not None:
        found.stopping = True


def _one_line(text: str) -> str:
    return " ".join(text.split())
