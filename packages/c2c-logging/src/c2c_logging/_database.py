"""``SQLAlchemyHandler``: records into a table. SQLAlchemy is imported when a handler is built, not before."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from c2c_broadcast import ConfigurationError
from c2c_logging._handlers import QueueHandler
from c2c_logging._line import full_message
from c2c_logging._values import message_of, safe, text_of

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.orm import Session, scoped_session


class SQLAlchemyHandler(QueueHandler):
    """Write records to a table with id, logger, level, trace, msg and created_at, made where it is absent.

    A thread of its own, started by the first record in the process that logs, writes them in batches of 100 or each
    second. Logging never waits: up to 10,000 records wait for a database that is away, more are dropped, counted, and
    told once. What is queued is written at exit.

    Args:
        sqlalchemy_url: ``{"url": "postgresql://...", "tablename": "logs", "tableargs": {"schema": "x"}}``; the last
            two may be left out
        does_not_contain_expression: regular expression; a record whose message it finds is left out
        contains_expression: regular expression; only records whose message it finds are written

    Raises:
        ConfigurationError: An argument can't be, or SQLAlchemy is not installed.
    """

    def __init__(
        self,
        sqlalchemy_url: Mapping[str, Any],
        does_not_contain_expression: str = "",
        contains_expression: str = "",
    ) -> None:
        try:
            from c2c_logging._log_table import TableQueue
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"SQLAlchemyHandler: {error}: pip install c2c-logging[sql]") from None
        super().__init__("log records can't be written to a table")
        self._without = _expression("does_not_contain_expression", does_not_contain_expression)
        self._with = _expression("contains_expression", contains_expression)
        self._queue: TableQueue = TableQueue(sqlalchemy_url)
        self.table: Table = self._queue.table
        """The table, for ``select(handler.table)``."""
        self.session: scoped_session[Session] = self._queue.session
        """A session of the log's database, one a thread."""

    def create_db(self) -> None:
        """Create the database, the schema and the table, as far as they are absent.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The server is away, or does not let this user.
        """
        self._queue.create()

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter the record and hand it over: not what SQLAlchemy says of our own writing."""
        return False if self._queue.is_writing else super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over to the thread that writes; never waits, never raises."""
        try:
            message = safe(message_of(record.__dict__)[0])
            if self._without is not None and self._without.search(message):
                return
            if self._with is not None and not self._with.search(message):
                return
            trace = full_message(record)
            self._queue.add(safe(text_of(record.name)), text_of(record.levelname), message, record.created, trace)
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)


def _expression(name: str, text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ConfigurationError(f"SQLAlchemyHandler: {name}: {text!r} is no regular expression: {error}") from None
