"""What a statement does: does it write, and could a transaction go on elsewhere after it?"""

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.dml import UpdateBase

_WRITES = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|TRUNCATE|COPY|GRANT|REVOKE|COMMENT|REFRESH|CALL|DO|IMPORT"
    r"|REPLACE|WITH\b.*\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO))\b",
    re.IGNORECASE | re.DOTALL,
)
_READS = re.compile(r"\s*(?:SELECT|WITH|VALUES|TABLE|SHOW)\b", re.IGNORECASE)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_FUNCTION = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
# Settings, locks and snapshots live in the server's session, and would be lost.
_STATE = re.compile(r"set_config|advisory|export_snapshot|setseed|\bFOR\s+(?:UPDATE|SHARE)\b", re.IGNORECASE)
_HARMLESS = frozenset(
    {"now", "version", "count", "coalesce", "pg_is_in_recovery", "pg_last_wal_replay_lsn", "cast", "current_setting"}
)


def writes(statement: Any) -> bool:
    """Tell whether a statement says that it writes: DML, DDL, or a text that begins like them.

    A function called by SELECT is not looked into: ``zope.sqlalchemy.mark_changed(session)`` says that it writes.
    """
    if isinstance(statement, TextClause):
        return _WRITES.match(statement.text) is not None
    return isinstance(statement, UpdateBase | ExecutableDDLElement)


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
    if not _READS.match(text) or _STATE.search(text):
        return False
    return bool(_FROM.search(text)) or all(name.lower() in _HARMLESS for name in _FUNCTION.findall(text))
