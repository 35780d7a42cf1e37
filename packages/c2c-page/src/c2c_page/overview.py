"""All processes at a glance: ``GET {base}/overview``, what the page's first lines are made of.

One broadcast; each process answers from memory: no check is run, no other system is asked.
"""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator

from c2c_broadcast import Live, Section, SharedState, masker_of
from c2c_page import history
from c2c_page.members import ask_all, facts, tell
from c2c_page.problems import problems_of
from c2c_page.settings_view import digest_of

_KEY = "c2c_page.overview"
_EVERY = 5.0


class Overview:
    """What one application of this process tells, and what changed by hand in the whole service."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self.facts: dict[str, Callable[[], Any]] = {}
        self.states: dict[str, SharedState] = {}

    def mine(self) -> dict[str, Any]:
        """Return what this process tells; a fact that can't be had is None."""
        problems = problems_of(self._registry)
        told = {
            **facts(self._registry),
            "settings": digest_of(self._registry),
            "busy": len(history.history_of(self._registry).busy),
            "problems": None if problems is None else problems.found(),
        }
        for name, function in self.facts.items():
            try:
                told[name] = function()
            except Exception:  # noqa: BLE001 # somebody else's code: the rest of the overview is worth more
                told[name] = None
        return told

    def all(self) -> dict[str, Any]:
        """Return what all processes tell, who is silent, and what was changed by hand."""
        told = ask_all(self._registry, "overview")
        return {"service": self._registry.package_name, **told, "changed": self.changed()}

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
            for what, state in self.states.items()
            for key, entry in sorted(state.entries().items())
        ]


def add(config: Configurator) -> None:
    """Add the view, its sections, and what each process answers."""
    registry = config.registry
    overview = registry.setdefault(_KEY, Overview(registry))
    tell(config, "overview", overview.mine)
    config.add_operator_view(
        lambda request: overview_of(request.registry).all(), name="overview", path="/overview", level="read"
    )
    live = Live(title="Differences", kind="differences", route="c2c_overview", every=_EVERY)
    text = "what is not the same everywhere, or was changed by hand"
    config.add_section(Section(name="differences", title="Differences", order=35, text=text, live=(live,)))


def add_page_fact(config: Configurator, name: str, function: Callable[[], Any]) -> None:
    """Have each process tell ``{name: function()}`` in the overview; it is called in each, from memory and at once."""
    overview = overview_of(config.registry)
    config.action(("c2c page fact", name), lambda: overview.facts.__setitem__(name, function))


def add_page_state(config: Configurator, what: str, state: SharedState) -> None:
    """Show the entries of a shared state as changed by hand; ``what`` says what it is: ``log level``."""
    overview = overview_of(config.registry)
    config.action(("c2c page state", what), lambda: overview.states.__setitem__(what, state))


def overview_of(registry: Any) -> Overview:
    """Return the overview of an application."""
    found: Overview = registry[_KEY]
    return found
