"""Join sessions to the transaction (zope.sqlalchemy): listeners put on the session class once, not on each session."""

import re
from typing import Any

from sqlalchemy import TextClause, event
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.dml import UpdateBase
from zope.sqlalchemy import ZopeTransactionEvents
from zope.sqlalchemy.datamanager import join_transaction, mark_changed

from c2c_db._session import DatabaseSession

_WRITES = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|TRUNCATE|COPY|GRANT|REVOKE|COMMENT|REFRESH|CALL|DO|IMPORT"
    r"|REPLACE|WITH\b.*\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO))\b",
    re.IGNORECASE | re.DOTALL,
)


def writes(statement: Any) -> bool:
    """Tell whether a statement says that it writes: DML, DDL, or a text that begins like them.

    A function called by SELECT is not looked into: ``zope.sqlalchemy.mark_changed(session)`` says that it writes.
    """
    if isinstance(statement, TextClause):
        return _WRITES.match(statement.text) is not None
    return isinstance(statement, UpdateBase | ExecutableDDLElement)


class _Listeners:
    """What zope.sqlalchemy listens to, with the transaction manager that each session brings."""

    def after_begin(self, session: DatabaseSession, _transaction: Any, _connection: Any) -> None:
        join_transaction(session, transaction_manager=session.manager)

    def after_attach(self, session: DatabaseSession, _instance: Any) -> None:
        join_transaction(session, transaction_manager=session.manager)

    def after_flush(self, session: DatabaseSession, _context: Any) -> None:
        mark_changed(session, session.manager)

    def after_bulk(self, context: Any) -> None:
        mark_changed(context.session, context.session.manager)

    def before_commit(self, session: DatabaseSession) -> None:
        ZopeTransactionEvents(transaction_manager=session.manager).before_commit(session)

    def do_orm_execute(self, state: ORMExecuteState) -> None:
        # zope.sqlalchemy notices ORM statements only, and rolls back what other ones wrote.
        if writes(state.statement):
            mark_changed(state.session, state.session.manager)  # type: ignore[attr-defined] # it is a DatabaseSession


def join_sessions(session_class: type[DatabaseSession]) -> None:
    """Let the sessions of this class, and of its subclasses, join the transactions of their manager."""
    listeners = _Listeners()
    event.listen(session_class, "after_begin", listeners.after_begin)
    event.listen(session_class, "after_attach", listeners.after_attach)
    event.listen(session_class, "after_flush", listeners.after_flush)
    event.listen(session_class, "after_bulk_update", listeners.after_bulk)
    event.listen(session_class, "after_bulk_delete", listeners.after_bulk)
    event.listen(session_class, "before_commit", listeners.before_commit)
    event.listen(session_class, "do_orm_execute", listeners.do_orm_execute)
