"""A Redis primary and replica under the watch of a Sentinel."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._places import ServerError, free_port
from c2c_testing.servers._redis import Redis, redis_server
from c2c_testing.servers._server import wait

_TIMEOUT = 60.0


class Sentinel(Redis):
    """One Sentinel process; its configuration file, which it rewrites, keeps what it knows over restarts."""

    def __init__(self, keeper: Keeper, port: int, *, password: str | None = None) -> None:
        super().__init__(keeper, port, password=password)
        self.configuration = keeper.folder / "sentinel.conf"

    def _argv(self) -> Sequence[str | Path]:
        return [self._program, self.configuration, "--sentinel", "--port", str(self.port)]

    def _is_ready(self, pid: int) -> bool:
        try:
            if self.info("server")["process_id"] != str(pid):
                return False
            # Its habit is to look every 10 s; no file can say otherwise.
            return bool(self.execute("SENTINEL", "DEBUG", "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200))
        except (OSError, ServerError):
            return False


class RedisSentinel:
    """A primary, a replica and a Sentinel that promotes the replica when the primary is away.

    ``sentinels`` are (host, port) pairs, as redis-py takes them; ``servers`` the two data servers.
    """

    def __init__(self, service_name: str, servers: tuple[Redis, Redis], sentinel: Sentinel) -> None:
        self.service_name = service_name
        self.servers = servers
        self.sentinel = sentinel

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """The addresses of the Sentinels."""
        return [(self.sentinel.host, self.sentinel.port)]

    @property
    def primary(self) -> Redis:
        """The data server that the Sentinel names as primary now."""
        port = int(self.sentinel.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service_name)[1])
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> Redis:
        """The other data server."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def failover(self, timeout: float = _TIMEOUT) -> None:
        """Let the Sentinel make the replica the primary, and wait until it is and the old one follows it."""
        old = self.primary
        self.sentinel.execute("SENTINEL", "FAILOVER", self.service_name)
        self._wait("The failover", lambda: self.primary is not old and self._replicates(), timeout)

    def kill_primary(self, timeout: float = _TIMEOUT) -> Redis:
        """SIGKILL the primary, wait until the Sentinel promoted the replica, and return the dead one."""
        old = self.primary
        old.kill()
        self._wait("The failover", lambda: self.primary is not old and self._primary_is_well(), timeout)
        return old

    def restore(self, timeout: float = _TIMEOUT) -> None:
        """Bring all three back after whatever a test did: running, and one data server following the other."""
        for server in (*self.servers, self.sentinel):
            server.restore()
        self._wait("The replication", self._replicates, timeout)

    def wait_ready(self, timeout: float = _TIMEOUT) -> None:
        """Wait until the Sentinel knows a replica that it could promote."""
        self._wait("The replication", self._replicates, timeout)

    def _replicates(self) -> bool:
        reply = self.sentinel.execute("SENTINEL", "REPLICAS", self.service_name)
        known = [dict(zip(words[::2], words[1::2], strict=True)) for words in reply]
        return (
            self._primary_is_well()
            and self.replica.info("replication").get("master_link_status") == "up"
            and any(
                replica["port"] == str(self.replica.port)
                and replica["flags"] == "slave"
                and replica["master-link-status"] == "ok"
                for replica in known
            )
        )

    def _primary_is_well(self) -> bool:
        words = self.sentinel.execute("SENTINEL", "MASTER", self.service_name)
        flags = dict(zip(words[::2], words[1::2], strict=True))["flags"]
        # Clients heed the flags: "s_down" or "failover_in_progress" beside "master" and they find no primary.
        return bool(flags == "master") and self.primary.info("replication")["role"] == "master"

    @staticmethod
    def _wait(what: str, done: Callable[[], bool], timeout: float) -> None:
        wait(what, done, timeout, OSError, ServerError)  # one of them may be down on the way


@contextlib.contextmanager
def redis_sentinel(
    *,
    service_name: str = "mymaster",
    down_after: float = 1.0,
    password: str | None = None,
    sentinel_password: str | None = None,
) -> Iterator[RedisSentinel]:
    """Start a Redis primary, its replica and a Sentinel; they are gone at the end.

    Args:
        service_name: the name that clients ask the Sentinel for
        down_after: seconds of silence after which the Sentinel takes the primary for dead
        password: clients have to give it to the data servers; none by default
        sentinel_password: clients have to give it to the Sentinel; none by default

    Raises:
        ServerError: one did not start; the message has the end of its log
    """
    quick: dict[str, str | int] = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
    if password is not None:
        quick["primaryauth"] = password
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(redis_server(password=password, settings=quick))
        following = quick | {"replicaof": f"{primary.host} {primary.port}"}
        replica = stack.enter_context(redis_server(password=password, settings=following))
        keeper = Keeper(os.geteuid())
        stack.callback(keeper.close)
        sentinel = Sentinel(keeper, free_port(), password=sentinel_password)
        lines = [
            f"bind {sentinel.host}",
            f"dir {sentinel.folder}",
            f"sentinel monitor {service_name} {primary.host} {primary.port} 1",
            f"sentinel down-after-milliseconds {service_name} {round(down_after * 1000)}",
            f"sentinel failover-timeout {service_name} 10000",
        ]
        if password is not None:
            lines.append(f"sentinel auth-pass {service_name} {_word(password)}")
        if sentinel_password is not None:
            lines.append(f"requirepass {_word(sentinel_password)}")
        sentinel.configuration.write_text("\n".join(lines) + "\n")
        sentinel.start_first(fixed=False)
        servers = RedisSentinel(service_name, (primary, replica), sentinel)
        servers.wait_ready()
        yield servers


def _word(text: str) -> str:
    """Return a text as its configuration file has words with blanks and quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
