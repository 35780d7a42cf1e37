"""A PostgreSQL primary with a streaming replica."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._places import free_port, unprivileged_uid
from c2c_testing.servers._postgres import Postgres, clean_environment, configure, postgres
from c2c_testing.servers._server import wait

_TIMEOUT = 60.0


class PostgresPair:
    """A primary and a hot standby that follows it by streaming replication (made by pg_basebackup).

    Both have the same user, password and databases; the replica answers reads only, until ``promote``.
    """

    def __init__(
        self, primary: Postgres, replica: Postgres, keeper: Keeper, settings: Mapping[str, str | float]
    ) -> None:
        self.primary = primary
        self.replica = replica
        self._keeper = keeper  # the replica's
        self._settings = settings

    def pause_replay(self) -> None:
        """Let the replica answer from the state that it has now: it receives changes, but does not apply them."""
        self.replica.execute("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        wait("Pausing the replay", lambda: self.replica.execute(state) == [("paused",)], _TIMEOUT)

    def resume_replay(self) -> None:
        """Let the replica apply what it received, and go on."""
        self.replica.execute("SELECT pg_wal_replay_resume()")

    @contextlib.contextmanager
    def replay_paused(self) -> Iterator[None]:
        """Pause the replay for the length of a ``with``."""
        self.pause_replay()
        try:
            yield
        finally:
            self.resume_replay()

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
        wait("Promoting the replica", lambda: not self._in_recovery(), timeout)

    def wait_caught_up(self, timeout: float = _TIMEOUT) -> None:
        """Wait until the replica has applied all that the primary has committed by now."""
        [(position,)] = self.primary.execute("SELECT pg_current_wal_lsn()::text")
        sql = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)"
        wait("The replica's catching up", lambda: self.replica.execute(sql, [position]) == [(True,)], timeout)

    def restore(self) -> None:
        """Bring both back after whatever a test did: running, one the replica of the other, no lag, caught up."""
        self.primary.restore()
        self.replica.restore()
        if self._in_recovery():
            self.resume_replay()
            self.set_lag(0)
        else:
            self.rebuild_replica()
        self.wait_caught_up()

    def rebuild_replica(self) -> None:
        """Throw the replica's data away and copy the primary anew, on the same port."""
        self.replica.kill()
        shutil.rmtree(self.replica.data, ignore_errors=True)
        self.copy_primary()
        self.replica.start()

    def copy_primary(self) -> None:
        """Make the replica's data folder (pg_basebackup)."""
        values = {"host": self.primary.host, "port": str(self.primary.port), "user": self.primary.user}
        words = [f"{name}={value}" for name, value in values.items()]
        self._keeper.run(
            [
                self.replica.programs / "pg_basebackup",
                *("-D", self.replica.data, "-d", " ".join([*words, "application_name=replica"])),
                *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--no-manifest"),
            ],
            clean_environment() | {"PGPASSWORD": self.primary.password},
        )
        configure(self.replica.data, self._settings)

    def _in_recovery(self) -> bool:
        return self.replica.execute("SELECT pg_is_in_recovery()") == [(True,)]


@contextlib.contextmanager
def postgres_pair(
    *,
    port: int | None = None,
    replica_port: int | None = None,
    user: str = "tester",
    password: str = "pg-p4ssword",  # noqa: S107 - of servers that live as long as a test
    database: str = "test",
    settings: Mapping[str, str | float] | None = None,
    replica_settings: Mapping[str, str | float] | None = None,
) -> Iterator[PostgresPair]:
    """Start a PostgreSQL primary and its streaming replica; they and their data are gone at the end.

    Args:
        port: the primary's, of 127.0.0.1; a free one by default
        replica_port: the replica's
        user: a superuser
        password: of that user
        database: the one in both ``.url``, created empty
        settings: of postgresql.conf, for both
        replica_settings: of postgresql.conf, for the replica, over ``settings``

    Raises:
        ServerError: one did not start; the message has the end of its log
        PortBusyError: a port that was asked for is taken
    """
    with contextlib.ExitStack() as stack:
        # First in, last out: the replica goes before its primary.
        primary = stack.enter_context(
            postgres(port=port, user=user, password=password, database=database, settings=settings)
        )
        keeper = Keeper(unprivileged_uid())
        stack.callback(keeper.close)
        replica = Postgres(keeper, replica_port or free_port(), user=user, password=password, database=database)
        pair = PostgresPair(primary, replica, keeper, replica_settings or {})
        pair.copy_primary()
        replica.start_first(fixed=replica_port is not None)
        pair.wait_caught_up()
        yield pair
