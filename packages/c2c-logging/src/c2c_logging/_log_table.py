"""The log table: making it and writing to it, through absences of the database."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from c2c_broadcast import ConfigurationError, mask
from c2c_logging._handlers import ServerQueue
from c2c_logging._output import Complaint
from c2c_logging._values import said

_MAINTENANCE = "postgres"
_KEYS = frozenset({"url", "tablename", "tableargs"})
_WRITING = threading.local()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    before, _WRITING.on = getattr(_WRITING, "on", False), True
    try:
        yield
    finally:
        _WRITING.on = before


class TableQueue(ServerQueue[dict[str, Any]]):
    """The rows for one table of one database. Nothing is connected before it is written to, or asked for."""

    size = 64_000_000

    def __init__(self, config: Mapping[str, Any]) -> None:
        text, name, options = _checked(config)
        try:
            self._engine = engine_of(text)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise ConfigurationError(f"SQLAlchemyHandler: url: {mask(str(error))}") from None
        self.table = sa.Table(
            name,
            sa.MetaData(),  # of its own, so that two handlers may have tables of one name
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
            sa.Column("logger", sa.Text),
            sa.Column("level", sa.Text),
            sa.Column("trace", sa.Text),
            sa.Column("msg", sa.Text),
            sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
            **options,
        )
        self.session: scoped_session[Session] = scoped_session(sessionmaker(self._engine))
        self._refused = Complaint(f"log table {self.table}")
        self._created = False
        self._pid = os.getpid()
        shown = self._engine.url.render_as_string()
        super().__init__("c2c-logging-database", f"log table {self.table} in {shown}")

    @property
    def is_writing(self) -> bool:
        """Whether this thread writes to a log table: what it logs itself is for none of them."""
        return getattr(_WRITING, "on", False)

    def over(self) -> None:
        """Close the connections; the next row makes a new one."""
        self._engine.dispose()

    def add(self, logger: str, level: str, message: str, created: float, trace: str | None = None) -> None:
        """Queue a row."""
        texts = {"logger": logger, "level": level, "msg": message, "trace": trace}
        # NUL is in no text of SQL's.
        row: dict[str, Any] = {name: text and text.replace("\0", "\\0") for name, text in texts.items()}
        row["created_at"] = datetime.fromtimestamp(created, UTC)
        self.put(row, len(message) + len(trace or ""))

    def dropped(self, count: int) -> None:
        """Say so in the table too, unless the database is away."""
        super().dropped(count)
        if not self.is_away:
            self.add("c2c_logging", "WARNING", f"{count} records were dropped: the queue was full", time.time())

    @_writing()
    def create(self) -> None:
        """Create database, schema and table, as far as they are absent."""
        try:
            self._engine.connect().close()
        except OperationalError:
            make_database(self._engine.url)
        schema = self.table.schema
        try:
            with self._engine.begin() as connection:
                if schema is not None and connection.dialect.name != "sqlite":
                    connection.execute(CreateSchema(schema, if_not_exists=True))
                self.table.metadata.create_all(connection)
        except DBAPIError:
            # Another process may have been faster.
            if not sa.inspect(self._engine).has_table(self.table.name, schema=schema):
                raise
        self._created = True

    @_writing()
    def consume(self, batch: list[dict[str, Any]]) -> int:
        """Write rows."""
        if self._pid != os.getpid():
            self._engine.dispose(close=False)  # the parent's connections stay the parent's
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
            self._insert_one_by_one(rows)
        self._server.right()

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            connection.execute(self.table.insert(), rows)

    def _insert_one_by_one(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            try:
                self._insert([row])
            except (OperationalError, InterfaceError):
                raise
            except (SQLAlchemyError, ValueError) as error:
                self._refused.wrong(f"a record of {row['logger']} is refused by the database: {said(error)}")


def _checked(config: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    if not isinstance(config, Mapping) or not config.get("url"):
        raise ConfigurationError('SQLAlchemyHandler: the first argument must be {"url": ..., "tablename": "logs"}')
    if unknown := sorted(set(config) - _KEYS):
        raise ConfigurationError(
            f"SQLAlchemyHandler: unknown {', '.join(unknown)}: there are {', '.join(sorted(_KEYS))}"
        )
    options = config.get("tableargs") or {}
    if not isinstance(options, Mapping):
        raise ConfigurationError('SQLAlchemyHandler: tableargs must be a dict, such as {"schema": "x"}')
    return str(config["url"]), str(config.get("tablename") or "logs"), dict(options)


def engine_of(text: str) -> Engine:
    """Return an engine; ``postgresql://`` (psycopg2 in SQLAlchemy 2.0, psycopg in 2.1) means the driver that is there.

    Raises:
        ArgumentError: It is no URL.
        ModuleNotFoundError: No driver of it is installed.
    """
    url = make_url(text)
    others = ("postgresql+psycopg2", "postgresql+psycopg") if url.drivername == "postgresql" else ()
    for name in others:
        with contextlib.suppress(ModuleNotFoundError):
            url.get_dialect().import_dbapi()
            break
        url = url.set(drivername=name)
    return sa.create_engine(url, pool_pre_ping=True)


def make_database(url: URL) -> None:
    """Create the database of a URL where it is absent.

    Only PostgreSQL's: SQLite makes its file by itself, and of others the administrator makes the database.

    Raises:
        SQLAlchemyError: The server is away, or does not let this user.
    """
    if url.get_backend_name() != "postgresql":
        return
    engine = sa.create_engine(url.set(database=_MAINTENANCE), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        name = connection.dialect.identifier_preparer.quote_identifier(str(url.database))
        try:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except DBAPIError:
            # It may be there, or this user may not.
            found = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if not connection.scalar(found, {"name": url.database}):
                raise
