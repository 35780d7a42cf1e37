"""One command to a Redis protocol server (RESP2: redis.io/docs/latest/develop/reference/protocol-spec)."""

import socket
from typing import Any, BinaryIO

from c2c_testing.servers._errors import ServerError

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
