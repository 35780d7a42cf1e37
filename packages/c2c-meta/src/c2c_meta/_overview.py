"""All processes at a glance: ``GET {base}/overview``, what the page's first lines are made of.

One broadcast; each process answers from memory: no check is run, no other system is asked.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pyramid.config import Configurator
from pyramid.events import ApplicationCreated

from c2c_broadcast import Live, Section, SharedState, broadcast, masker_of
from c2c_meta import _problems, _running
from c2c_meta._process import facts
from c2c_meta._settings_view import digest_of

_KEY = "c2c_meta.overview"
_TIMEOUT = 2.0
_EVERY = 5.0
# What operators change at run time, by the name of the shared state that holds it.
_STATES = {
    "c2c_logging": ("log_levels", "log level"),
    "c2c_db": ("c2c_db.maintenance", "database"),
    "c2c_debug": ("c2c_debug_sql_profiler", "SQL profiler"),
}


class Overview:
    """What one application of this process tells, and what changed by hand in the whole service."""

    def __init__(self, registry: Any, included: Iterable[str]) -> None:
        self._registry = registry
        self._states = [(what, SharedState(name)) for key, (name, what) in _STATES.items() if key in included]
        self.git: str | None = None
        self.history: Any = None

    def mine(self) -> dict[str, Any]:
        """Return what this process tells."""
        problems = _problems.watch(masker_of(self._registry))
        return {
            **facts(),
            "git": self.git,
            "settings": digest_of(self._registry),
            "health": {} if self.history is None else self.history.found(),
            "running": _running.running(self._registry),
            "problems": None if problems is None else problems.found(),
        }

    def all(self) -> dict[str, Any]:
        """Return what all processes tell, who is silent, and what was changed by hand."""
        answers = broadcast.ask(_channel(self._registry), timeout=_TIMEOUT)
        return {
            "service": self._registry.package_name,
            "now": time.time(),
            "members": sorted(answers.answers, key=lambda answer: (answer["hostname"], answer["pid"])),
            "failed": [asdict(failure) for failure in answers.failed],
            "missing": [asdict(missing) for missing in (*answers.missing, *answers.late)],
            "complete": answers.complete,
            "changed": self.changed(),
        }

    def changed(self) -> list[dict[str, Any]]:
        """Return what operators changed and is in force: ``what``, ``key``, ``value``, since when, until, who, why."""
        masked = masker_of(self._registry)
        return [
            {
                "what": what,
                "key": key,
                "value": entry.value,
                "since": entry.changed,
                "expires": entry.expires,
                "who": entry.who,
                "reason": entry.reason and masked(entry.reason),
            }
            for what, state in self._states
            for key, entry in sorted(state.entries().items())
        ]


def add(config: Configurator, included: Iterable[str]) -> None:
    """Add the view, its sections, and what each process answers."""
    registry = config.registry
    if _KEY not in registry:
        overview = registry[_KEY] = Overview(registry, included)
        broadcast.subscribe(_channel(registry), overview.mine)
        config.add_subscriber(_application_created, ApplicationCreated)
        if "c2c_health" in included:
            _follow_health(config, overview)
    _running.add(config)
    config.add_operator_view(lambda request: overview_of(request.registry).all(), name="overview", path="/overview")
    for name, title, order, text in (
        ("running", "In progress", 15, "requests that are handled now, in all processes"),
        ("problems", "Problems", 30, "warnings and errors of all processes, since they started"),
        ("differences", "Differences", 35, "what is not the same everywhere, or was changed by hand"),
    ):
        live = Live(title=title, kind=name, route="c2c_overview", every=_EVERY)
        config.add_section(Section(name=name, title=title, order=order, text=text, live=(live,)))


def _follow_health(config: Configurator, overview: Overview) -> None:
    from c2c_health import HealthChecked, VersionSeen
    from c2c_meta._health_history import HealthHistory

    def version_seen(event: VersionSeen) -> None:
        # The first one is of this process itself, from its start-up.
        overview.git = overview.git or event.version

    overview.history = HealthHistory()
    config.add_subscriber(overview.history, HealthChecked)
    config.add_subscriber(version_seen, VersionSeen)


def overview_of(registry: Any) -> Overview:
    """Return the overview of an application."""
    found: Overview = registry[_KEY]
    return found


def _application_created(event: Any) -> None:
    _problems.watch(masker_of(event.app.registry))


def _channel(registry: Any) -> str:
    return f"c2c_meta_overview {registry.package_name}"
