"""Explaining a statement where it runs: on its connection, in a savepoint, with its real parameters.

What its text tells is PostgreSQL's lexical structure (documentation, chapter 4.1).
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Mode = Literal["analyze", "explain"]

# "Seq Scan on public.users  (cost=0.00..1.01 rows=1 width=4)" calls nothing.
_COSTS = re.compile(r"\(cost=[\d. =a-z]{1,100}\)")
_EXPLAINED = frozenset({("postgresql", "psycopg"), ("postgresql", "psycopg2")})
_LONGEST = 60_000  # milliseconds
_WRITING_NODES = ("LockRows", "Insert on ", "Update on ", "Delete on ", "Merge on ")
# By libpq's PQTRANS_IDLE (autocommit: a transaction of our own) and PQTRANS_INTRANS: what begins and ends a part.
_PARTS = {
    0: ("BEGIN", "ROLLBACK"),
    2: ("SAVEPOINT c2c_explain", "ROLLBACK TO SAVEPOINT c2c_explain", "RELEASE SAVEPOINT c2c_explain"),
}


class LeftAloneError(Exception):
    """The statement must not be explained; the text says why."""


def explain(context: Any, statement: str, *parameters: Any, mode: Mode) -> str:
    """Return the plan of a statement; the connection's transaction stays as it was.

    ``context`` is SQLAlchemy's of this execution; ``statement`` and ``parameters`` (one thing or nothing) are what the
    driver got. The mode ``analyze`` runs the statement again, ``explain`` does not.

    Raises:
        LeftAloneError: It locks, writes, calls a volatile function, or the transaction is aborted.
        Exception: What the driver raises; this, too, leaves the transaction as it was.
    """
    if (context.dialect.name, context.dialect.driver) not in _EXPLAINED:
        raise LeftAloneError("only PostgreSQL by psycopg or psycopg2 is explained")
    why = reads(statement)
    if why is not None:
        raise LeftAloneError(why)
    connection = context.root_connection.connection
    status = int(connection.driver_connection.info.transaction_status)
    with contextlib.closing(connection.dbapi_connection.cursor()) as cursor, _savepoint(cursor, status):
        # What follows is stopped after a minute, or earlier where the application says so.
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true) FROM pg_catalog.pg_settings"
            " WHERE name = 'statement_timeout' AND (setting = '0' OR setting::bigint > %s)",
            (str(_LONGEST), _LONGEST),
        )
        _refuse_volatile(cursor, functions(statement))
        if mode == "explain":
            return _plan(cursor, "EXPLAIN ", statement, parameters)
        # A view may hide what the text does not show: the plan does.
        plan = _plan(cursor, "EXPLAIN (VERBOSE) ", statement, parameters)
        if any(node in plan for node in _WRITING_NODES):
            raise LeftAloneError("it locks rows or writes, in a view or rule")
        _refuse_volatile(cursor, functions(_COSTS.sub("", plan)))
        return _plan(cursor, "EXPLAIN ANALYZE ", statement, parameters)


@contextlib.contextmanager
def _savepoint(cursor: Any, status: int) -> Iterator[None]:
    if status not in _PARTS:
        raise LeftAloneError("its transaction is aborted or busy")
    begin, *end = _PARTS[status]
    cursor.execute(begin)
    try:
        yield
    finally:
        for command in end:
            cursor.execute(command)


def _refuse_volatile(cursor: Any, names: set[str]) -> None:
    if not names:
        return
    cursor.execute(
        "SELECT DISTINCT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND proname = ANY(%s)",
        (sorted(names),),
    )
    found = ", ".join(sorted(_first(row) for row in cursor.fetchall()))
    if found:
        raise LeftAloneError(f"it calls a volatile function: {found}")


def _plan(cursor: Any, prefix: str, statement: str, parameters: tuple[Any, ...]) -> str:
    cursor.execute(prefix + statement, *parameters)
    return "\n".join(_first(row) for row in cursor.fetchall())


def _first(row: Any) -> str:
    # The application may have chosen rows that are mappings.
    return str(next(iter(row.values())) if isinstance(row, Mapping) else row[0])


NO_SELECT = "it is no SELECT"

# What holds no words of SQL: comments, and texts (also E'...' and $tag$...$tag$). A quoted name is none of these,
# whatever is in it. One without an end goes to the text's own: each sign is looked at once.
_OPAQUE = re.compile(
    r"""
    (?P<name>"(?:[^"]|"")*+(?:"|\Z))
    | --[^\n]*
    | /\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)
    | \b[eE]'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z)
    | '(?:[^']|'')*+(?:'|\Z)
    | (?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*+)?+)\$.*?(?:\$(?P=tag)\$|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED_NAME = re.compile(r'"((?:[^"]|"")*+)(?:"|\Z)')
_SELECT = re.compile(r"(?:SELECT|WITH)\b", re.IGNORECASE)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+UPDATE|UPDATE|KEY\s+SHARE|SHARE)\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|INTO)\b", re.IGNORECASE)
# A letter, an underscore, or anything beyond ASCII; written as what it is not, which compiles in a tenth of the time.
_CALL = re.compile(r"(?<![\w$])([^\x00-@\[-^`{-\x7f][\w$]*+)\"?\s*+\(")


def simplified(statement: str) -> str:
    """Return a statement on one line, without comments, and with ``?`` for its texts: whatever is left is SQL."""
    return " ".join(_OPAQUE.sub(_without_values, statement).split())


def _without_values(match: re.Match[str]) -> str:
    return match["name"] or (" " if match[0].startswith(("--", "/*")) else "?")


def reads(statement: str) -> str | None:
    """Return None where a statement only reads (``SELECT``, ``WITH ... SELECT``), else why it is left alone."""
    bare = _QUOTED_NAME.sub(" Q ", simplified(statement))
    if not _SELECT.match(bare.lstrip(" (")):
        return NO_SELECT
    if ";" in bare.rstrip().rstrip(";"):
        return "it is several statements"
    if _LOCKS.search(bare):
        return "it locks rows"
    if _WRITES.search(bare):
        return "it writes"
    return None


def functions(text: str) -> set[str]:
    """Return the names of all that looks like a call in a statement or a plan, as PostgreSQL folds them."""
    text = simplified(text)
    found = {name.lower() for name in _CALL.findall(_QUOTED_NAME.sub(" Q ", text))}
    quoted = (match for match in _QUOTED_NAME.finditer(text) if text.startswith(("(", " ("), match.end()))
    return found | {match[1].replace('""', '"') for match in quoted}
