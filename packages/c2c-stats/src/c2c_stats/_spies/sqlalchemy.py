"""The spy on SQLAlchemy: each statement, and each commit.

It listens to ``do_execute`` and its two siblings on the class of all engines, those made before too, and calls the
database itself: 1 us a statement. A pair of cursor events costs 8 us (benchmarks/stats.py), and needs a stack for
statements within statements; here the call stack is that. Commits have no event after them: their method is replaced.
"""

import re
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect

from c2c_stats._api import automatic
from c2c_stats._sink import SINK
from c2c_stats._spies import SQL, patch

LONGEST = 8192  # characters of a statement that are looked at
_SHOWN = 450
_NAME = "c2c_name"  # an attribute of engines, as c2cwsgiutils 6 sets it

_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z))+)
  | (?P<string>(?:\b[EeBbXxNn]|\b[Uu]&)?'(?:[^'\\]|''|\\.)*(?:'|\Z)
      |\$(?P<tag>[A-Za-z_]\w*)?\$.*?(?:\$(?P=tag)\$|\Z)|\$\$.*?(?:\$\$|\Z))
  | (?P<bind>%\(\w+\)s|%s|\?(?![|&?])|(?<![:\w]):[A-Za-z_]\w*|(?<!\w)\$\d+|(?<!\w)@[A-Za-z_]\w*)
  | (?P<number>(?<![\w.])(?:0[xXoObB][0-9A-Fa-f_]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?!\w))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z))
  | (?P<savepoint>sa_savepoint_\d+)
  | (?P<word>\w[\w$]*)
  | (?P<mark>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# SQLAlchemy numbers them.
_SAVEPOINT = "sa_savepoint"
_ENDS = {"SELECT": "FROM", "SET": "WHERE"}
_LITERALS = frozenset({"string", "bind", "number"})


def simplify(statement: str) -> str:  # noqa: C901 # one walk over the words
    """Return the statement without white space, literals, parameters, columns and lists; 450 characters at most.

    Left out is what is between SELECT and its FROM, SET and its WHERE, in the parentheses of IN, and all after
    INSERT INTO t (.
    """
    found: list[str] = []
    # For each open parenthesis: the word that ends a list of columns, and where this list begins.
    lists: list[tuple[str, int]] = [("", 0)]
    before = ""
    inserting = False
    within = 0  # how many parentheses of an IN are open
    for piece in _tokens(statement[:LONGEST]):
        word = piece.upper()
        if within:
            within += {"(": 1, ")": -1}.get(piece, 0)
            continue
        if piece == "(":
            if before == "IN":
                found += [" ", "(?)"]
                within, before = 1, ")"
                continue
            if inserting:
                break
            lists.append(("", 0))
        elif piece == ")":
            if len(lists) > 1:
                lists.pop()
        elif word == lists[-1][0] and before != "DISTINCT":
            found[lists[-1][1] :] = " "
            lists[-1] = ("", 0)
        found.append(piece)
        if word in _ENDS:
            lists[-1] = (_ENDS[word], len(found))
            inserting = False
        inserting = inserting or (word == "INTO" and before == "INSERT")
        if piece != " ":
            before = word
    return " ".join("".join(found).split())[:_SHOWN].strip()


def _tokens(statement: str) -> Iterator[str]:
    """Split into words; ``" "`` stands for white space and comments, ``?`` for each literal and parameter."""
    for match in _TOKEN.finditer(statement):
        kind = match.lastgroup if match.lastgroup != "tag" else "string"
        yield " " if kind == "space" else "?" if kind in _LITERALS else _SAVEPOINT if kind == "savepoint" else match[0]


_STORE = SINK
_SHORTCUTS = _STORE.shortcuts
_SHORT = 1024
_ENGINES: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()  # of whom a dialect has sent a statement


def _record(statement: str, engine: Any, seconds: float, queries: int = 1) -> None:
    text: Any = statement if len(statement) <= _SHORT else hash(statement)  # long ones would take much memory
    shortcut = text if engine is None else (engine, text)
    timer = _SHORTCUTS.get(shortcut)
    if timer is None:
        labels = {"engine": str(engine)} if _STORE.by_engine else None
        timer = automatic("timer", ("sql",), {"query": simplify(statement)}, labels=labels)
        _STORE.remember(shortcut, timer)
    timer.observe(seconds)
    totals = SQL.get(None)
    if totals is not None:
        totals[0] += queries
        totals[1] += seconds


def _listener(name: str) -> Callable[..., bool | None]:
    """Return what times a method of a dialect, called with the cursor, the statement, any parameters, the context."""

    def listen(cursor: Any, statement: str, *more: Any) -> bool | None:
        if not _STORE.on:
            return None
        arguments, context = (cursor, statement, *more), more[-1]
        dialect = context.dialect
        after = done = False
        start = perf_counter()
        try:
            # Those after us have their turn, which SQLAlchemy ends where we answer that it is done.
            for one in getattr(dialect.dispatch, name):
                done = done or (after and one(*arguments))
                after = after or one is listen
            if not done:
                getattr(dialect, name)(*arguments)
        finally:
            seconds = perf_counter() - start
            engine = None
            if _STORE.by_engine:
                engine = _ENGINES[dialect] = getattr(context.engine, _NAME, None)
            _record(statement, engine, seconds)
        return True

    return listen


def _timed_commit(commit: Callable[..., None]) -> Callable[..., None]:
    def do_commit(self: Any, connection: Any) -> None:
        if not _STORE.on:
            commit(self, connection)
            return
        start = perf_counter()
        commit(self, connection)
        _record("commit", _ENGINES.get(self) if _STORE.by_engine else None, perf_counter() - start, queries=0)

    return do_commit


_LISTENERS = {name: _listener(name) for name in ("do_execute", "do_executemany", "do_execute_no_params")}


def install() -> None:
    """Watch all engines; nothing where that is done."""
    for name, listener in _LISTENERS.items():
        if not event.contains(Engine, name, listener):
            event.listen(Engine, name, listener)
    patch(DefaultDialect, "do_commit", _timed_commit)
