"""What happens to sessions: they join the transaction (zope.sqlalchemy), begin read-only, and leave a mark.

The listeners are put on the session class once, not on each session.
"""

from typing import Any

from sqlalchemy import Connection, event
from zope.sqlalchemy import ZopeTransactionEvents
from zope.sqlalchemy.datamanager import join_transaction, mark_changed

from c2c_db._session import DatabaseSession


def _after_begin(session: DatabaseSession, _transaction: Any, connection: Connection) -> None:
    session.begun = connection
    session.database.steering.begun(session, connection)
    join_transaction(session, transaction_manager=session.manager)


def _after_attach(session: DatabaseSession, _instance: Any) -> None:
    join_transaction(session, transaction_manager=session.manager)


def _after_flush(session: DatabaseSession, _context: Any) -> None:
    mark_changed(session, session.manager)


def _after_bulk(context: Any) -> None:
    mark_changed(context.session, context.session.manager)


def _before_commit(session: DatabaseSession) -> None:
    ZopeTransactionEvents(transaction_manager=session.manager).before_commit(session)


def _after_commit(session: DatabaseSession) -> None:
    if session.begun is not None:
        session.database.steering.committed(session, session.begun)


def join_sessions(session_class: type[DatabaseSession]) -> None:
    """Let the sessions of this class, and of its subclasses, join the transactions of their manager."""
    event.listen(session_class, "after_begin", _after_begin)
    event.listen(session_class, "after_attach", _after_attach)
    event.listen(session_class, "after_flush", _after_flush)
    event.listen(session_class, "after_bulk_update", _after_bulk)
    event.listen(session_class, "after_bulk_delete", _after_bulk)
    event.listen(session_class, "before_commit", _before_commit)
    event.listen(session_class, "after_commit", _after_commit)
