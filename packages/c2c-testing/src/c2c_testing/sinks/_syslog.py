"""A syslog server."""

import contextlib
import json
import re
import socket
import socketserver
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from c2c_testing.sinks._sink import DatagramSink, StreamServer

_PRIORITY = re.compile(rb"<(0|[1-9][0-9]{0,2})>")  # RFC 3164, 4.1.1; RFC 5424, 6.2.1
_BIGGEST_PRIORITY = 191
_COUNTED = re.compile(rb"([1-9][0-9]{0,9}) ")
_ENDED = re.compile(rb"\A([^\n\0]*)[\n\0]")


@dataclass(frozen=True, slots=True)
class SyslogMessage:
    """One message: numbers of facility and severity (RFC 5424, tables 1 and 2), the text after the priority.

    ``transport`` is "udp", "tcp" or "unix".
    """

    facility: int
    severity: int
    text: str
    transport: str

    def cee(self) -> dict[str, Any]:
        """Return the JSON object after ``@cee:`` (CEE log syntax 1.0); ValueError if there is none."""
        _, mark, text = self.text.partition("@cee:")
        if not mark:
            raise ValueError(f"No @cee: in {self.text[:200]!r}")
        return dict(json.loads(text))


def parse(data: bytes, transport: str) -> SyslogMessage:
    """Read one message; ValueError where it has no priority, or is not UTF-8."""
    data = data.rstrip(b"\0")  # Python's SysLogHandler ends each message so
    match = _PRIORITY.match(data)
    if not match or int(match[1]) > _BIGGEST_PRIORITY:
        raise ValueError(f"No priority: {data[:200]!r}")
    facility, severity = divmod(int(match[1]), 8)
    return SyslogMessage(facility, severity, data[match.end() :].decode(), transport)


def frames(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Cut a TCP stream into messages and what is not complete yet (RFC 6587, 3.4: counted, or ended by LF or NUL)."""
    found = []
    while buffer:
        if counted := _COUNTED.match(buffer):
            end = counted.end() + int(counted[1])
            frame, rest = buffer[counted.end() : end], buffer[end:]
            if len(buffer) < end:
                break
        elif ended := _ENDED.match(buffer):
            frame, rest = ended[1], buffer[ended.end() :]
        else:
            break
        found += [frame] if frame else []
        buffer = rest
    return found, buffer


class SyslogSink(DatagramSink[SyslogMessage]):
    """A syslog server on UDP (``address``), TCP (``tcp_address``) and a unix datagram socket (``path``).

    ``errors`` holds what was not syslog. ``wait`` takes a text, or a function of the message.
    """

    _key = "text"

    def __init__(self) -> None:
        self._tcp_port = 0
        super().__init__()

    @property
    def address(self) -> tuple[str, int]:
        """Host and UDP port, as SysLogHandler takes them."""
        return self.host, self.port

    @property
    def tcp_address(self) -> tuple[str, int]:
        """Host and TCP port."""
        return self.host, self._tcp_port

    @property
    def messages(self) -> list[SyslogMessage]:
        """What was received, oldest first."""
        return self._all()

    def _listen(self) -> Iterator[socketserver.BaseServer]:
        yield from super()._listen()
        read: Any = self._read_stream
        server = StreamServer(self.tcp_address, read)
        self._tcp_port = server.server_address[1]
        yield server

    def _read_stream(self, connection: socket.socket, *_: object) -> None:
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
            self._put(parse(data, transport))
        except ValueError as error:
            self.errors.append(str(error))
