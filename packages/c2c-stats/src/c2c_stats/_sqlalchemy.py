"""The spy on SQLAlchemy: each statement, and each commit.

It listens to ``do_execute`` and its two siblings on the class of all engines, those made before too, and calls the
database itself: 1 us a statement. A pair of cursor events costs 8 us (benchmarks/stats.py), and needs a stack for
statements within statements; here the call stack is that. Commits have no event after them: their method is replaced.
"""

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect

from c2c_stats._api import automatic
from c2c_stats._patch import patch, unpatch
from c2c_stats._request_totals import TOTALS
from c2c_stats._series import Timer
from c2c_stats._simplify_sql import LONGEST, simplify
from c2c_stats._sink import SINK

_STORE = SINK.store
_SHORTCUTS = _STORE.shortcuts
_SHORT = 1024


def _record(statement: str, seconds: float) -> None:
    timer = _SHORTCUTS.get(statement)
    if timer is None:
        timer = _timer(statement)
    timer.observe(seconds)
    totals = TOTALS.sql
    totals[0] += 1
    totals[1] += seconds


def _timer(statement: str) -> Timer:
    short = len(statement) <= _SHORT
    text = simplify(statement) if short else _simplify_long(statement[:LONGEST])
    timer = automatic("timer", ("sql",), {"query": text})
    if short:
        _STORE.remember(statement, timer)
    return timer


@lru_cache(512)
def _simplify_long(statement: str) -> str:
    return simplify(statement)


def _others(listeners: Any, own: Callable[..., Any], *arguments: Any) -> bool:
    """Let the listeners after us have their turn, which SQLAlchemy ends where we answer that it is done."""
    rest = iter(listeners)
    for one in rest:
        if one is own:
            break
    return any(one(*arguments) for one in rest)


def _do_execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
    if not _STORE.on:
        return None
    dialect = context.dialect
    listeners = dialect.dispatch.do_execute
    start = perf_counter()
    try:
        if len(listeners) == 1 or not _others(listeners, _do_execute, cursor, statement, parameters, context):
            dialect.do_execute(cursor, statement, parameters, context)
    finally:
        _record(statement, perf_counter() - start)
    return True


def _do_executemany(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
    if not _STORE.on:
        return None
    dialect = context.dialect
    listeners = dialect.dispatch.do_executemany
    start = perf_counter()
    try:
        if len(listeners) == 1 or not _others(listeners, _do_executemany, cursor, statement, parameters, context):
            dialect.do_executemany(cursor, statement, parameters, context)
    finally:
        _record(statement, perf_counter() - start)
    return True


def _do_execute_no_params(cursor: Any, statement: str, context: Any) -> bool | None:
    if not _STORE.on:
        return None
    dialect = context.dialect
    listeners = dialect.dispatch.do_execute_no_params
    start = perf_counter()
    try:
        if len(listeners) == 1 or not _others(listeners, _do_execute_no_params, cursor, statement, context):
            dialect.do_execute_no_params(cursor, statement, context)
    finally:
        _record(statement, perf_counter() - start)
    return True


def _timed_commit(commit: Callable[..., None]) -> Callable[..., None]:
    def do_commit(self: Any, connection: Any) -> None:
        if not _STORE.on:
            commit(self, connection)
            return
        start = perf_counter()
        commit(self, connection)
        seconds = perf_counter() - start
        timer = _SHORTCUTS.get(("sql", "commit"))
        if timer is None:
            timer = automatic("timer", ("sql",), {"query": "commit"})
            _STORE.remember(("sql", "commit"), timer)
        timer.observe(seconds)
        TOTALS.sql[1] += seconds

    return do_commit


_LISTENERS: dict[str, Callable[..., Any]] = {
    "do_execute": _do_execute,
    "do_executemany": _do_executemany,
    "do_execute_no_params": _do_execute_no_params,
}


def install() -> None:
    """Watch all engines; nothing where that is done."""
    for name, listener in _LISTENERS.items():
        if not event.contains(Engine, name, listener):
            event.listen(Engine, name, listener)
    patch(DefaultDialect, "do_commit", _timed_commit)


def uninstall() -> None:
    """Watch no more."""
    for name, listener in _LISTENERS.items():
        if event.contains(Engine, name, listener):
            event.remove(Engine, name, listener)
    unpatch(DefaultDialect, "do_commit")
