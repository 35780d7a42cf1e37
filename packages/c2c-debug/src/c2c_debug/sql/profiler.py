"""The SQL profiler of this process; its plans go to the logger ``c2c_debug.sql_profiler`` at INFO.

While it is on, three methods of SQLAlchemy's ``DefaultDialect``, those that call the database, and ``Pool.connect`` are
replaced: this reaches engines made before and after, costs a quarter of cursor events, and can be taken back while
other threads are inside, which the removal of a listener can not. While it is off, nothing is replaced.
"""

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool

from c2c_broadcast import Masker, mask, names_secret
from c2c_broadcast.process import at_fork
from c2c_debug.sql.explain import NO_SELECT, LeftAloneError, Mode, explain, reads
from c2c_debug.sql.report import MOST, Statements

__all__ = ["SqlProfiler"]

_LOG = logging.getLogger("c2c_debug.sql_profiler")

_METHODS = ("do_execute", "do_executemany", "do_execute_no_params")
_MARK = "_c2c_debug_original"
_INSIDE = "_c2c_debug_inside"
_LONGEST_PARAMETERS = 4_000
_EXPLAINED = frozenset({("postgresql", "psycopg"), ("postgresql", "psycopg2")})


class SqlProfiler:
    """Counts and explains the statements of this process while it is on."""

    def __init__(self, masker: Any = mask) -> None:
        self.masked = masker
        self._lock = threading.Lock()
        self._replaced: list[tuple[type, str, Any]] = []
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.statements = Statements()
        self.mode: Mode = "analyze"
        self.on = False
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew in a child: its parent's statements are not its own."""
        self._lock = threading.Lock()
        self.statements.after_fork()

    def switch(self, mode: Mode | None) -> None:
        """Switch on, in this mode, or off."""
        switched_on = False
        with self._lock:
            if mode is not None:
                self.mode = mode
            if mode is not None and not self.on:
                self._seen.clear()
                self.statements.clear()
                self.on = True
                self._replace()
                switched_on = True
            elif mode is None and self.on:
                self.on = False
                self._put_back()
        # Said without the lock: a handler may run statements, or switch this profiler itself.
        if switched_on and not _LOG.isEnabledFor(logging.INFO):
            _LOG.warning("The SQL profiler is on, and this logger's level hides its plans: set it to INFO")

    def _replace(self) -> None:
        """Replace the methods, also where a dialect has its own."""
        owners = {name: [one for one in _subclasses(DefaultDialect) if name in one.__dict__] for name in _METHODS}
        for name, found in owners.items():
            for owner in found:
                self._put(owner, name, self._watching)
        self._put(Pool, "connect", self._waiting)

    def _put(self, owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
        original = owner.__dict__[name]
        wrapper = functools.wraps(original)(wrap(original))
        setattr(owner, name, wrapper)
        self._replaced.append((owner, name, wrapper))
        setattr(wrapper, _MARK, original)

    def _put_back(self) -> None:
        """Put the methods back; one that another tool replaced after us calls ours, which does nothing now."""
        for owner, name, wrapper in self._replaced:
            if owner.__dict__.get(name) is wrapper:
                setattr(owner, name, getattr(wrapper, _MARK))
        self._replaced.clear()

    def _watching(self, original: Callable[..., None]) -> Callable[..., None]:
        def watched(dialect: Any, cursor: Any, statement: str, *rest: Any, **named: Any) -> None:
            context = named.get("context") or (rest[-1] if rest else None)
            # A dialect's own method may call its parent's: that is one statement.
            if not self.on or context is None or _INSIDE in context.__dict__:
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
                if self.on:
                    self.statements.waited(perf_counter() - start)

        return connect

    def _look(self, method: str, statement: str, rest: tuple[Any, ...], context: Any) -> None:
        """Explain a statement that is new. Whatever goes wrong is said in the log: the request goes on."""
        self._seen[statement] = None
        try:
            if len(self._seen) > MOST:
                self._seen.popitem(last=False)
            if method != "do_executemany" and reads(statement) != NO_SELECT:
                self._explain(statement, rest[:1] if method == "do_execute" else (), context)
        except Exception:  # noqa: BLE001 # the watched request is sacred
            _LOG.warning("The SQL profiler failed", exc_info=True)

    def _explain(self, statement: str, parameters: tuple[Any, ...], context: Any) -> None:
        text = self.masked(statement)
        shown = self.masked(repr(self.masked.data(parameters[0] if parameters else None)))[:_LONGEST_PARAMETERS]
        try:
            plan = self._plan(statement, parameters, context)
        except LeftAloneError as error:
            _LOG.info("statement:\n%s\nparameters: %s\nnot explained: %s", text, shown, error)
        except Exception as error:  # noqa: BLE001 # whatever a driver raises
            why = self.masked(f"{type(error).__name__}: {error}")
            _LOG.info("statement:\n%s\nparameters: %s\ncan't be explained: %s", text, shown, why)
        else:
            # The plan has the values, too.
            plan = self.masked(Masker(_secrets(parameters))(plan))
            _LOG.info("statement:\n%s\nparameters: %s\nplan:\n%s", text, shown, plan)

    def _plan(self, statement: str, parameters: tuple[Any, ...], context: Any) -> str:
        if (context.dialect.name, context.dialect.driver) not in _EXPLAINED:
            raise LeftAloneError("only PostgreSQL by psycopg or psycopg2 is explained")
        connection = context.root_connection.connection
        status = int(connection.driver_connection.info.transaction_status)
        return explain(connection.dbapi_connection, statement, *parameters, status=status, mode=self.mode)


def _secrets(parameters: tuple[Any, ...]) -> list[str]:
    """Return the values of parameters whose names say that they are secret."""
    named = parameters[0] if parameters and isinstance(parameters[0], Mapping) else {}
    return [str(value) for name, value in named.items() if names_secret(name)]


def _subclasses(owner: type) -> list[type]:
    found: list[type] = [owner]
    children: list[type] = owner.__subclasses__()
    for child in children:
        found += [one for one in _subclasses(child) if one not in found]
    return found
