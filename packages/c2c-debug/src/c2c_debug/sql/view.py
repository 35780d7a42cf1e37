"""``sql_profiler``: the switch of all processes, and their report."""

from typing import Any

from c2c_broadcast import ConfigurationError, broadcast
from c2c_broadcast.shared_state import Entry, SharedState
from c2c_debug._parameters import choice, flag, number
from c2c_debug.sql.report import merged
from c2c_debug.stacks import silent

_STATE = "c2c_debug_sql_profiler"
_KEY = "mode"
_CHANNEL = "c2c_debug_sql_profiler_report"
_REGISTRY = "c2c_debug.sql_switch"
_LONGEST = 365 * 24 * 3600.0


class Switch:
    """What every process agrees on, and this process's profiler that follows it."""

    def __init__(self, masker: Any) -> None:
        try:
            from c2c_debug.sql.profiler import SqlProfiler
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "sqlalchemy":
                raise
            raise ConfigurationError(
                "C2C_SQL_PROFILER_ENABLED (ini key c2c.sql_profiler_enabled) is set and SQLAlchemy is not installed: "
                "pip install 'c2c-debug[sql]'"
            ) from error
        self.profiler = SqlProfiler(masker)
        self.state = SharedState(_STATE, self._changed)
        broadcast.subscribe(_CHANNEL, self.profiler.statements.answer)

    def _changed(self, _key: str, entry: Entry | None) -> None:
        self.profiler.switch(None if entry is None else entry.value)

    @property
    def entry(self) -> Entry | None:
        """What is in force, None when it is off."""
        return self.state.entries().get(_KEY)


def switch_of(registry: Any) -> Switch:
    """Return the switch of an application that enabled it."""
    found: Switch = registry[_REGISTRY]
    return found


def install(registry: Any, masker: Any) -> None:
    """Make the application's switch, once."""
    if _REGISTRY not in registry:
        registry[_REGISTRY] = Switch(masker)


def changes(request: Any) -> bool:
    """Tell whether a request changes the switch."""
    return "enable" in request.params


def view(request: Any) -> dict[str, Any]:
    """Switch the SQL profiler in every process (``enable``, ``ttl``, ``mode``); tell how it is, with the ``report``."""
    switch = switch_of(request.registry)
    if changes(request):
        _change(request, switch)
    entry = switch.entry
    found: dict[str, Any] = {"status": 200, "enabled": entry is not None}
    if entry is not None and entry.expires is not None:
        found["until"] = entry.expires
    if not switch.state.everywhere:
        found["complete"] = False
    if flag(request, "report"):
        answers = broadcast.ask(_CHANNEL)
        found |= {"complete": answers.complete, "missing": silent(answers), **merged(answers.answers)}
        for one in found["statements"]:
            one["statement"] = switch.profiler.masked(one["statement"])
    return found


def _change(request: Any, switch: Switch) -> None:
    mode = choice(request, "mode", "analyze", "explain")
    ttl = number(request, "ttl", minimum=1, maximum=_LONGEST) if request.params.get("ttl") else None
    if flag(request, "enable"):
        switch.state.set(_KEY, mode, ttl, who=request.client_addr)
    else:
        switch.state.reset(_KEY, who=request.client_addr)
