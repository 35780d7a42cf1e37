"""The SQL profiler of this process; its plans go to the logger ``c2c_debug.sql_profiler`` at INFO.

While it is on, three methods of SQLAlchemy's ``DefaultDialect``, those that call the database, and ``Pool.connect`` are
replaced: this reaches engines made before and after, costs a quarter of cursor events, and can be taken back while
other threads are inside, which the removal of a listener can not. While it is off, nothing is replaced.
"""

import functools
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool

from c2c_broadcast import Masker, mask, names_secret
from c2c_debug.sql.explain import NO_SELECT, LeftAloneError, Mode, explain, reads
from c2c_debug.sql.report import MOST, Statements

__all__ = ["SqlProfiler"]

_LOG = logging.getLogger("c2c_debug.sql_profiler")

_METHODS = ("do_execute", "do_executemany", "do_execute_no_params")
_INSIDE = "_c2c_debug_inside"
_LONGEST_PARAMETERS = 4_000


class SqlProfiler:
    """Counts and explains the statements of this process while it is on."""

    def __init__(self, masker: Any = mask) -> None:
        self.masked = masker
        self._replaced: list[tuple[type, str, Any, Any]] = []
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.statements = Statements()
        self.mode: Mode | None = None

    def switch(self, mode: Mode | None) -> None:
        """Switch on, in this mode, or off."""
        with self.statements.lock:
            before, self.mode = self.mode, mode
            if mode is None:
                self._put_back()
            elif before is None:
                self._seen.clear()
                self.statements.clear()
                self._replace()
        # Said without the lock: a handler may run statements, or switch this profiler itself.
        if before is None and mode is not None and not _LOG.isEnabledFor(logging.INFO):
            _LOG.warning("The SQL profiler is on, and this logger's level hides its plans: set it to INFO")

    def _replace(self) -> None:
        """Replace the methods, also where a dialect has its own."""
        for owner in _subclasses(DefaultDialect):
            for name in _METHODS:
                if name in owner.__dict__:
                    self._put(owner, name, self._watching)
        self._put(Pool, "connect", self._waiting)

    def _put(self, owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
        original = owner.__dict__[name]
        wrapper = functools.wraps(original)(wrap(original))
        setattr(owner, name, wrapper)
        self._replaced.append((owner, name, original, wrapper))

    def _put_back(self) -> None:
        """Put the methods back; one that another tool replaced after us calls ours, which does nothing now."""
        for owner, name, original, wrapper in self._replaced:
            if owner.__dict__.get(name) is wrapper:
                setattr(owner, name, original)
        self._replaced.clear()

    def _watching(self, original: Callable[..., None]) -> Callable[..., None]:
        def watched(dialect: Any, cursor: Any, statement: str, *rest: Any, **named: Any) -> None:
            context = named.get("context") or (rest[-1] if rest else None)
            # A dialect's own method may call its parent's: that is one statement.
            if self.mode is None or context is None or _INSIDE in context.__dict__:
                original(dialect, cursor, statement, *rest, **named)
                return
            context.__dict__[_INSIDE] = True
            start = perf_counter()
            try:
                original(dialect, cursor, statement, *rest, **named)
            finally:
                seconds = perf_counter() - start
                del context.__dict__[_INSIDE]
                self.statements.add(statement, seconds, cursor.rowcount)
            if statement not in self._seen and _LOG.isEnabledFor(logging.INFO):
                self._look(original.__name__, statement, rest, context)

        return watched

    def _waiting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(pool: Any) -> Any:
            start = perf_counter()
            try:
                return original(pool)
            finally:
                if self.mode is not None:
                    self.statements.waited(perf_counter() - start)

        return connect

    def _look(self, method: str, statement: str, rest: tuple[Any, ...], context: Any) -> None:
        """Explain a statement that is new. Whatever goes wrong is said in the log: the request goes on."""
        self._seen[statement] = None
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        if method == "do_executemany" or reads(statement) == NO_SELECT:
            return
        parameters = rest[:1] if method == "do_execute" else ()
        shown, masked = "?", self.masked
        try:
            shown = self.masked(repr(self.masked.data(parameters[0] if parameters else None)))[:_LONGEST_PARAMETERS]
            masked = Masker(_secrets(parameters))  # what is found has the values, too
            found = f"plan:\n{explain(context, statement, *parameters, mode=self.mode or 'explain')}"
        except LeftAloneError as error:
            found = f"not explained: {error}"
        except Exception as error:  # noqa: BLE001 # whatever a driver, or a value, raises
            found = f"can't be explained: {type(error).__name__}: {error}"
        _LOG.info("statement:\n%s\nparameters: %s\n%s", self.masked(statement), shown, self.masked(masked(found)))


def _secrets(parameters: tuple[Any, ...]) -> list[str]:
    """Return the values of parameters whose names say that they are secret."""
    named = parameters[0] if parameters and isinstance(parameters[0], Mapping) else {}
    return [str(value) for name, value in named.items() if names_secret(name)]


def _subclasses(owner: type) -> set[type]:
    return {owner}.union(*map(_subclasses, owner.__subclasses__()))
