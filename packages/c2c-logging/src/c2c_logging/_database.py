"""``SQLAlchemyHandler``: records into a table, made where it is absent, through absences of the database."""

import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from c2c_broadcast import ConfigurationError, mask
from c2c_logging._handlers import QueueHandler, ServerQueue
from c2c_logging._sending import Complaint
from c2c_logging._texts import full_message, message_of, safe, said, text_of

_WRITING = threading.local()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Keep what this thread's own SQL logs out of all log tables."""
    before, _WRITING.on = getattr(_WRITING, "on", False), True
    try:
        yield
    finally:
        _WRITING.on = before


class SQLAlchemyHandler(QueueHandler):
    """Write records to a table with id, logger, level, trace, msg and created_at, made where it is absent.

    Args:
        sqlalchemy_url: ``{"url": "postgresql://...", "tablename": "logs", "tableargs": {"schema": "x"}}``; the last
            two may be left out
        does_not_contain_expression: regular expression; a record whose message it finds is left out
        contains_expression: regular expression; only records whose message it finds are written

    Raises:
        ConfigurationError: An argument can't be.
    """

    def __init__(
        self,
        sqlalchemy_url: Mapping[str, Any],
        does_not_contain_expression: str = "",
        contains_expression: str = "",
    ) -> None:
        super().__init__("log records can't be written to a table")
        self._without = _expression("does_not_contain_expression", does_not_contain_expression)
        self._with = _expression("contains_expression", contains_expression)
        self._queue: TableQueue = TableQueue(sqlalchemy_url)
        self.table = self._queue.table
        """The table, for ``select(handler.table)``."""
        self.session: scoped_session[Session] = scoped_session(sessionmaker(self._queue.engine))
        """A session of the log's database, one a thread."""

    def create_db(self) -> None:
        """Create the database, the schema and the table, as far as they are absent.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The server is away, or does not let this user.
        """
        self._queue.create()

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter the record and hand it over: not what SQLAlchemy says of our own writing."""
        return False if getattr(_WRITING, "on", False) else super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over to the thread that writes; never waits."""
        message = safe(message_of(record.__dict__)[0])
        if self._without is not None and self._without.search(message):
            return
        if self._with is not None and not self._with.search(message):
            return
        trace = full_message(record)
        texts = {
            "logger": safe(text_of(record.name)),
            "level": text_of(record.levelname),
            "msg": message,
            "trace": trace,
        }
        # NUL is in no text of SQL's.
        row: dict[str, Any] = {name: text and text.replace("\0", "\\0") for name, text in texts.items()}
        self._queue.put(
            {**row, "created_at": datetime.fromtimestamp(record.created, UTC)}, len(message + (trace or ""))
        )


class TableQueue(ServerQueue[dict[str, Any]]):
    """The rows for one table of one database. Nothing is connected before it is written to, or asked for."""

    size = 64_000_000

    def __init__(self, config: Mapping[str, Any]) -> None:
        options = isinstance(config, Mapping) and (config.get("tableargs") or {})
        if not isinstance(options, Mapping) or not config.get("url") or set(config) - {"url", "tablename", "tableargs"}:
            raise ConfigurationError(
                "SQLAlchemyHandler: the first argument must be a dict with url, if wanted tablename and tableargs,"
                ' such as {"url": "postgresql://...", "tablename": "logs", "tableargs": {"schema": "x"}}'
            )
        try:
            self.engine = sa.create_engine(str(config["url"]), pool_pre_ping=True)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise ConfigurationError(f"SQLAlchemyHandler: url: {mask(str(error))}") from None
        self.table = sa.Table(
            config.get("tablename") or "logs",
            sa.MetaData(),  # of its own, so that two handlers may have tables of one name
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
            sa.Column("logger", sa.Text),
            sa.Column("level", sa.Text),
            sa.Column("trace", sa.Text),
            sa.Column("msg", sa.Text),
            sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
            **options,
        )
        self._refused = Complaint(f"log table {self.table}")
        self._created = False
        self._pid = os.getpid()
        shown = self.engine.url.render_as_string()
        super().__init__("c2c-logging-database", f"log table {self.table} in {shown}")

    def over(self) -> None:
        """Close the connections; the next row makes a new one."""
        self.engine.dispose()

    @_writing()
    def create(self) -> None:
        """Create database, schema and table, as far as they are absent."""
        try:
            self.engine.connect().close()
        except OperationalError:
            make_database(self.engine.url)
        schema = self.table.schema
        try:
            with self.engine.begin() as connection:
                if schema is not None and connection.dialect.name != "sqlite":
                    connection.execute(CreateSchema(schema, if_not_exists=True))
                self.table.metadata.create_all(connection)
        except DBAPIError:
            # Another process may have been faster.
            if not sa.inspect(self.engine).has_table(self.table.name, schema=schema):
                raise
        self._created = True

    @_writing()
    def consume(self, batch: list[dict[str, Any]]) -> int:
        """Write rows."""
        if self._pid != os.getpid():
            self.engine.dispose(close=False)  # the parent's connections stay the parent's
            self._pid = os.getpid()
        return 0 if self.until_it_works(partial(self._write, batch)) else len(batch)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if not self._created or self.is_away:
            self.create()
        try:
            self._insert(rows)
        except (OperationalError, InterfaceError):
            raise
        except (DBAPIError, ValueError):
            # The table went away, or a row is none that the database takes.
            self.create()
            for row in rows:
                try:
                    self._insert([row])
                except (OperationalError, InterfaceError):
                    raise
                except (SQLAlchemyError, ValueError) as error:
                    self._refused.wrong(f"a record of {row['logger']} is refused by the database: {said(error)}")

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with self.engine.begin() as connection:
            connection.execute(self.table.insert(), rows)


def _expression(name: str, text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ConfigurationError(f"SQLAlchemyHandler: {name}: {text!r} is no regular expression: {error}") from None


def make_database(url: URL) -> None:
    """Create the database of a URL where it is absent; SQLite does by itself, of others the administrator does."""
    if url.get_backend_name() != "postgresql":
        return
    engine = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        name = connection.dialect.identifier_preparer.quote_identifier(str(url.database))
        try:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except DBAPIError:
            # It may be there, or this user may not.
            found = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if not connection.scalar(found, {"name": url.database}):
                raise
