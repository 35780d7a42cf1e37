"""``sql_profiler``: the switch of all processes, and their report."""

from importlib.util import find_spec
from typing import Any

from c2c_broadcast import ConfigurationError, broadcast
from c2c_broadcast.shared_state import SharedState
from c2c_debug._parameters import choice, flag, number
from c2c_debug.sql.report import merged
from c2c_debug.stacks import silent

_STATE = "c2c_debug_sql_profiler"
_KEY = "mode"
_CHANNEL = "c2c_debug_sql_profiler_report"
_REGISTRY = "c2c_debug.sql_switch"
_LONGEST = 365 * 24 * 3600.0


def install(registry: Any, masker: Any) -> None:
    """Make this process's profiler, once, and the state that every process agrees on, which it follows."""
    if _REGISTRY in registry:
        return
    if find_spec("sqlalchemy") is None:
        raise ConfigurationError(
            "C2C_SQL_PROFILER_ENABLED (ini key c2c.sql_profiler_enabled) is set and SQLAlchemy is not installed: "
            "pip install 'c2c-debug[sql]'"
        )
    from c2c_debug.sql.profiler import SqlProfiler

    profiler = SqlProfiler(masker)
    state = SharedState(_STATE, lambda _key, entry: profiler.switch(None if entry is None else entry.value))
    broadcast.subscribe(_CHANNEL, profiler.statements.answer)
    registry[_REGISTRY] = profiler, state


def changes(request: Any) -> bool:
    """Tell whether a request changes the switch."""
    return "enable" in request.params


def view(request: Any) -> dict[str, Any]:
    """Switch the SQL profiler in every process (``enable``, ``ttl``, ``mode``); tell how it is, with the ``report``."""
    profiler, state = request.registry[_REGISTRY]
    if changes(request):
        mode = choice(request, "mode", "analyze", "explain")
        ttl = number(request, "ttl", minimum=1, maximum=_LONGEST) if request.params.get("ttl") else None
        if flag(request, "enable"):
            state.set(_KEY, mode, ttl, who=request.client_addr)
        else:
            state.reset(_KEY, who=request.client_addr)
    entry = state.entries().get(_KEY)
    found: dict[str, Any] = {"status": 200, "enabled": entry is not None}
    if entry is not None and entry.expires is not None:
        found["until"] = entry.expires
    if not state.everywhere:
        found["complete"] = False
    if flag(request, "report"):
        answers = broadcast.ask(_CHANNEL)
        found |= {"complete": answers.complete, "missing": silent(answers), **merged(answers.answers)}
        for one in found["statements"]:
            one["statement"] = profiler.masked(one["statement"])
    return found
