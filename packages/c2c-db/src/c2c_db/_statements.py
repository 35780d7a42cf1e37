"""What a statement does: does it write, and could a transaction go on elsewhere after it?"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import TextualSelect

_WRITING = (UpdateBase, ExecutableDDLElement)
_WITH_ELEMENT = (TextualSelect, FromStatement)
_SHORT = 1000

# The first word, after space, comments and parentheses. Nothing is given back: or a text with many comments could be
# read in as many ways as there are subsets of them. A comment that does not end is one, too: it is read once.
_FIRST_WORD = re.compile(r"\A(?:\s++|--[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/)?|\()*+([A-Za-z]++)")
_PLAIN = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW"})
# What else a text may begin with may write. (Committed without need nothing is lost, rolled back it would be.)
_READS = _PLAIN | {"EXPLAIN", "SET", "RESET", "DECLARE", "FETCH", "MOVE", "CLOSE", "PRAGMA"}
_WITH_OTHERS = frozenset({"WITH", "EXPLAIN"})
_DML = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\b", re.IGNORECASE)
_NOTIFY = "pg_notify"
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
# Not from within a word, and nothing is given back: else a long word (a geometry in hexadecimal) is tried from each of
# its letters.
_FUNCTION = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*+)\s*+\(")
# Settings, locks and snapshots live in the server's session, and would be lost.
_STATE = re.compile(r"set_config|advisory|export_snapshot|setseed|\bFOR\s+(?:UPDATE|SHARE)\b", re.IGNORECASE)
_HARMLESS = frozenset(
    {"now", "version", "count", "coalesce", "pg_is_in_recovery", "pg_last_wal_replay_lsn", "cast", "current_setting"}
)


def writes(statement: Any) -> bool:
    """Tell whether a statement writes: DML, DDL, or a text that does not begin like a read.

    A function called by SELECT is not looked into: ``zope.sqlalchemy.mark_changed(session)`` says that it writes.
    """
    if isinstance(statement, TextClause):
        text = statement.text
        return _short_text_writes(text) if len(text) <= _SHORT else _text_writes(text)
    if isinstance(statement, _WITH_ELEMENT):  # text("INSERT ... RETURNING id").columns(...)
        return writes(statement.element)
    return isinstance(statement, _WRITING)


def _text_writes(text: str) -> bool:
    word = _first_word(text)
    if word in _WITH_OTHERS:
        return _DML.search(text) is not None
    return word not in _READS or _NOTIFY in text


# The texts of a service are few, and asked about again and again.
_short_text_writes = lru_cache(1000)(_text_writes)


def _first_word(text: str) -> str:
    found = _FIRST_WORD.match(text)
    return found[1].upper() if found else ""


def leave_no_state(statements: Iterable[Any]) -> bool:
    """Tell whether a READ COMMITTED transaction of these statements can go on on another server.

    It can after plain reads. It can't after SET LOCAL, set_config(), locks, or a function called without a FROM, which
    may do any of that (``SELECT set_tenant(5)``): what follows would read with other eyes.
    """
    try:
        return all(_is_plain_read(str(statement)) for statement in statements)
    except SQLAlchemyError:  # it has no text without its dialect
        return False


def _is_plain_read(text: str) -> bool:
    if _first_word(text) not in _PLAIN or _STATE.search(text):
        return False
    return bool(_FROM.search(text)) or all(name.lower() in _HARMLESS for name in _FUNCTION.findall(text))
