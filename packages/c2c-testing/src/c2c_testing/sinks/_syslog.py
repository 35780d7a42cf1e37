"""A syslog server."""

import contextlib
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from c2c_testing.sinks._sink import HOST, DatagramSink, Inbox

_PRIORITY = re.compile(rb"<(0|[1-9][0-9]{0,2})>")  # RFC 3164, 4.1.1; RFC 5424, 6.2.1
_BIGGEST_PRIORITY = 191
_COUNTED = re.compile(rb"([1-9][0-9]{0,9}) ")


@dataclass(frozen=True, slots=True)
class SyslogMessage:
    """One message: numbers of facility and severity (RFC 5424, tables 1 and 2), the text after the priority.

    ``transport`` is "udp", "tcp" or "unix"; ``size`` the bytes of the whole, the ending of the frame left out.
    """

    facility: int
    severity: int
    text: str
    transport: str
    size: int

    def cee(self) -> dict[str, Any]:
        """Return the JSON object after ``@cee:`` (CEE log syntax 1.0); ValueError if there is none."""
        _, mark, text = self.text.partition("@cee:")
        if not mark:
            raise ValueError(f"No @cee: in {self.text[:200]!r}")
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError(f"Not an object: {text[:200]!r}")  # noqa: TRY004 - one error for a wrong message
        return value


def parse(data: bytes, transport: str) -> SyslogMessage:
    """Read one message.

    Raises:
        ValueError: it has no priority, or is not UTF-8
    """
    data = data.rstrip(b"\0")  # Python's SysLogHandler ends each message so
    match = _PRIORITY.match(data)
    if not match or int(match[1]) > _BIGGEST_PRIORITY:
        raise ValueError(f"No priority: {data[:200]!r}")
    facility, severity = divmod(int(match[1]), 8)
    return SyslogMessage(facility, severity, data[match.end() :].decode(), transport, len(data))


def frames(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Cut a TCP stream into messages and what is not complete yet (RFC 6587, 3.4: counted, or ended by LF or NUL)."""
    found = []
    while buffer:
        counted = _COUNTED.match(buffer)
        if counted:
            end = counted.end() + int(counted[1])
            if len(buffer) < end:
                break
            found.append(buffer[counted.end() : end])
            buffer = buffer[end:]
            continue
        ends = [position for mark in (b"\n", b"\0") if (position := buffer.find(mark)) >= 0]
        if not ends:
            break
        if min(ends):
            found.append(buffer[: min(ends)])
        buffer = buffer[min(ends) + 1 :]
    return found, buffer


class SyslogSink(DatagramSink):
    """A syslog server on UDP (``address``), TCP (``tcp_address``) and a unix datagram socket (``path``).

    ``errors`` holds what was not syslog; the fixture fails a test that leaves any.
    """

    def __init__(self) -> None:
        self._messages = Inbox[SyslogMessage]()
        self.errors: list[str] = []
        self.tcp_port = 0
        super().__init__()

    @property
    def address(self) -> tuple[str, int]:
        """Host and UDP port, as SysLogHandler takes them."""
        return self.host, self.port

    @property
    def tcp_address(self) -> tuple[str, int]:
        """Host and TCP port."""
        return self.host, self.tcp_port

    @property
    def messages(self) -> list[SyslogMessage]:
        """What was received, oldest first."""
        return self._messages.all()

    def wait(
        self, match: Callable[[SyslogMessage], bool] = lambda _: True, count: int = 1, timeout: float = 30.0
    ) -> list[SyslogMessage]:
        """Wait for ``count`` messages that a function likes and return all such; else AssertionError."""
        return self._messages.wait(match, count, timeout)

    def clear(self) -> None:
        """Forget all that was received, errors too."""
        self._messages.clear()
        self.errors.clear()

    def start(self) -> None:
        """Listen; nothing when it does."""
        if self._open:
            return
        super().start()
        listener = socket.create_server((HOST, self.tcp_port))
        self.tcp_port = listener.getsockname()[1]
        self._open.append(listener)
        self._spawn(self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                connection, _ = listener.accept()
                self._open.append(connection)
                self._spawn(self._read_stream, connection)

    def _read_stream(self, connection: socket.socket) -> None:
        buffer = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(1 << 16):
                found, buffer = frames(buffer + received)
                for frame in found:
                    self._receive("tcp", frame)
        if buffer:
            self.errors.append(f"A message without end: {buffer[:200]!r}")

    def _receive(self, transport: str, data: bytes) -> None:
        try:
            self._messages.put(parse(data, transport))
        except ValueError as error:
            self.errors.append(str(error))
