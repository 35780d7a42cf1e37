"""The log table: making it and writing to it, through absences of the database."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from c2c_broadcast import ConfigurationError, mask
from c2c_logging._database import WRITING, Row
from c2c_logging._output import Complaint

_DRIVERS = ("psycopg2", "psycopg")
_MAINTENANCE = "postgres"
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_KEYS = frozenset({"url", "tablename", "tableargs"})


class LogTable:
    """One table of one database. Nothing is connected before it is written to, or asked for."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        text, name, options = _checked(config)
        try:
            url = with_driver(text)
            self._engine = sa.create_engine(url, pool_size=1, max_overflow=4, pool_pre_ping=True)
        except TypeError:  # SQLite's pool takes no sizes
            self._engine = sa.create_engine(url)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise ConfigurationError(f"SQLAlchemyHandler: url: {mask(str(error))}") from None
        self.table = _table(name, options)
        self.session: scoped_session[Session] = scoped_session(sessionmaker(self._engine))
        self._complaint = Complaint(f"log table {self.table} in {self._engine.url.render_as_string()}")
        self._refused = Complaint(f"log table {self.table}")
        self._created = False
        self._pid = os.getpid()

    @property
    def is_away(self) -> bool:
        """Whether the database was away when it was last tried."""
        return self._complaint.is_wrong

    def close(self) -> None:
        """Close the connections; the next row makes a new one."""
        self._engine.dispose()

    def create(self) -> None:
        """Create database, schema and table, as far as they are absent."""
        with _writing():
            try:
                self._engine.connect().close()
            except OperationalError:
                if not make_database(self._engine.url):
                    raise
            try:
                self._create_table()
            except DBAPIError:
                # Another process may have been faster.
                if not sa.inspect(self._engine).has_table(self.table.name, schema=self.table.schema):
                    raise
        self._created = True

    def _create_table(self) -> None:
        with self._engine.begin() as connection:
            if self.table.schema is not None and connection.dialect.name != "sqlite":
                connection.execute(CreateSchema(self.table.schema, if_not_exists=True))
            self.table.metadata.create_all(connection)

    def write(self, rows: list[Row], hurry: Callable[[], bool]) -> None:
        """Write rows; while the database is away, wait for it, unless there is no time for that."""
        if self._pid != os.getpid():
            self._engine.dispose(close=False)  # the parent's connections stay the parent's
            self._pid = os.getpid()
        pause = _FIRST_PAUSE
        with _writing():
            while not self._try(rows):
                if hurry():
                    return
                end = time.monotonic() + pause
                while time.monotonic() < end and not hurry():
                    time.sleep(0.05)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, rows: list[Row]) -> bool:
        try:
            if not self._created:
                self.create()
            try:
                self._insert(rows)
            except (OperationalError, InterfaceError):
                raise
            except (DBAPIError, ValueError):
                # The table went away, or a row is none that the database takes.
                self.create()
                self._insert_one_by_one(rows)
        except Exception as error:  # noqa: BLE001 # drivers raise what they like; logging goes on
            self._created = False
            self._complaint.wrong(f"is away ({mask(_first_line(error))}): up to 10,000 records wait for it")
            return False
        self._complaint.right()
        return True

    def _insert(self, rows: list[Row]) -> None:
        with self._engine.begin() as connection:
            connection.execute(self.table.insert(), [_values(row) for row in rows])

    def _insert_one_by_one(self, rows: list[Row]) -> None:
        for row in rows:
            try:
                self._insert([row])
            except (OperationalError, InterfaceError):
                raise
            except (SQLAlchemyError, ValueError) as error:
                self._refused.wrong(f"a record of {row.logger} is refused by the database: {mask(_first_line(error))}")


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    before, WRITING.on = getattr(WRITING, "on", False), True
    try:
        yield
    finally:
        WRITING.on = before


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


def _table(name: str, options: dict[str, Any]) -> sa.Table:
    # A metadata of its own, so that two handlers may have tables of one name.
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("logger", sa.Text),
        sa.Column("level", sa.Text),
        sa.Column("trace", sa.Text),
        sa.Column("msg", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        **options,
    )


def _values(row: Row) -> dict[str, Any]:
    # PostgreSQL's text has no NUL.
    return {
        "logger": row.logger.replace("\0", "\\0"),
        "level": row.level.replace("\0", "\\0"),
        "trace": row.trace and row.trace.replace("\0", "\\0"),
        "msg": row.msg.replace("\0", "\\0"),
        "created_at": datetime.fromtimestamp(row.created, UTC),
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def is_installed(name: str) -> bool:
    """Tell whether a driver is installed."""
    return find_spec(name) is not None


def with_driver(text: str | URL, installed: Callable[[str], bool] = is_installed) -> URL:
    """Return the URL with a driver that is there; one that it names is kept.

    SQLAlchemy 2.0 reads ``postgresql://`` as psycopg2, 2.1 as psycopg 3: where only the other one is installed, the URL
    means that one.

    Raises:
        ArgumentError: It is no URL.
    """
    url = make_url(text)
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    if url.drivername != "postgresql":
        return url
    default = url.get_dialect().driver
    others = (driver for driver in _DRIVERS if driver != default and installed(driver))
    other = None if installed(default) else next(others, None)
    return url if other is None else url.set(drivername=f"postgresql+{other}")


def make_database(url: URL) -> bool:
    """Create the database of a URL; False where it was there.

    Only PostgreSQL's: SQLite makes its file by itself, and of others the administrator makes the database.

    Raises:
        SQLAlchemyError: The server is away, or does not let this user.
    """
    if url.get_backend_name() != "postgresql":
        return False
    engine = sa.create_engine(url.set(database=_MAINTENANCE), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        if _is_there(connection, url.database):
            return False
        name = connection.dialect.identifier_preparer.quote_identifier(str(url.database))
        try:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except DBAPIError:
            # Another process may have been faster.
            if not _is_there(connection, url.database):
                raise
    return True


def _is_there(connection: Connection, name: str | None) -> bool:
    return bool(connection.scalar(sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}))
