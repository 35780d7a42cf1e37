"""``PyramidCeeSysLogHandler``: a line of JSON a record, to a syslog server, with the CEE cookie.

Lines go over UDP, TCP, or a unix socket of either kind, by the thread of a queue: nobody else waits for them.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import time
from collections.abc import Sequence
from functools import partial
from logging.handlers import SYSLOG_UDP_PORT, SysLogHandler
from typing import Any

from c2c_broadcast import ConfigurationError, load
from c2c_logging._handlers import QueueHandler, ServerQueue
from c2c_logging._line import fit, line_of, syslog_level
from c2c_logging._sending import watch
from c2c_logging._settings import HandlerSettings

# Seconds after which a name is resolved again: of a datagram nobody says that it went to where the server was.
_RESOLVE_EVERY = 60.0
_TIMEOUT = 5.0
_SMALLEST = 200
# Milliseconds in which a host says that nobody listens at the port of a first datagram; this one waits for it.
_REFUSAL = 20
_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_HIGHEST_PORT = 65_535


class PyramidCeeSysLogHandler(QueueHandler):
    """Send each record to syslog as ``: @cee: {json}`` (what rsyslog's mmjsonparse reads).

    Args:
        address: host and port as tuple or list, or the path of a unix socket
        facility: number or name of the syslog facility
        socktype: ``socket.SOCK_DGRAM`` (UDP, the default) or ``socket.SOCK_STREAM`` (TCP), or ``"udp"``, ``"tcp"``

    Raises:
        ConfigurationError: An argument is none of those; whether the server can be reached does not matter.
    """

    def __init__(
        self,
        address: str | Sequence[str | int] = ("localhost", SYSLOG_UDP_PORT),
        facility: int | str = SysLogHandler.LOG_USER,
        socktype: socket.SocketKind | str | None = None,
    ) -> None:
        super().__init__("log lines can't be sent to syslog")
        self.dialect = load(HandlerSettings, {}).json_dialect
        self.address = _address(address)
        self.facility = _facility(facility)
        self._queue = SyslogQueue(self.address, _kind(socktype))

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON. Never raises."""
        return line_of(record, self.dialect)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over to the thread that sends."""
        head, text = f"<{(self.facility << 3) | syslog_level(record.levelno)}>: @cee: ", self.format(record)
        self._queue.put((head, text), len(head + text))


class SyslogQueue(ServerQueue[tuple[str, str]]):
    """One connection to one server, made when there is something to send."""

    size, wait, at_end = 8_000_000, 0.0, 2.0
    _socket: socket.socket | None = None

    def __init__(self, address: str | tuple[str, int], kind: socket.SocketKind | None) -> None:
        self._address = address
        self._kind = kind
        self._resolved = 0.0
        self._largest = 1 << 20
        shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        super().__init__("c2c-logging-syslog", f"syslog server {shown}")
        if not isinstance(address, str) and kind != socket.SOCK_STREAM:
            self.sure_after = 1.5  # that a datagram is refused comes after it was sent

    def after_fork(self) -> None:
        """Leave the parent's connection to the parent."""
        super().after_fork()
        self.over()

    def over(self) -> None:
        """Close the connection; the next line makes a new one."""
        self._rest = b""  # of a line of which the server took a part
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def consume(self, batch: list[tuple[str, str]]) -> int:
        """Send lines in order."""
        for number, line in enumerate(batch):
            if not self.until_it_works(partial(self._send, *line)):
                return len(batch) - number
        return 0

    def _send(self, head: str, text: str) -> None:
        """Send a line by the connection that is there, else by one to the first address that takes it."""
        problem = OSError("no address")
        targets: Sequence[Any] = [None] if self._is_usable() else self._addresses()
        for target in targets:
            try:
                if target is not None:
                    self.over()
                    self._socket = socket.socket(*target[:2])
                    self._socket.settimeout(_TIMEOUT)
                    self._socket.connect(target[2])
                self._send_to(self._socket, head, text, 0 if target is None else _REFUSAL)
            except OSError as error:
                problem = error
                if self._rest and isinstance(error, TimeoutError):
                    # Who does not read keeps the connection, and gets the rest of the line when it does: a new
                    # connection would be taken for a server that is back.
                    raise
                self.over()
            else:
                return
        raise problem

    def _is_usable(self) -> bool:
        """Tell whether there is a connection, and the server is not elsewhere by now.

        On a stream that the server closed one more line would be lost, without an error.
        """
        if self._socket is None:
            return False
        if self._socket.type != socket.SOCK_STREAM:
            return time.monotonic() - self._resolved < _RESOLVE_EVERY
        try:
            return not watch(self._socket, select.POLLIN).poll(0) or bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _addresses(self) -> list[tuple[int, int, Any]]:
        self._resolved = time.monotonic()
        if isinstance(self._address, str):
            kinds = (self._kind,) if self._kind is not None else (socket.SOCK_DGRAM, socket.SOCK_STREAM)
            return [(socket.AF_UNIX, kind, self._address) for kind in kinds]
        host, port = self._address
        found = socket.getaddrinfo(host, port, type=self._kind or socket.SOCK_DGRAM)
        return [(family, kind, target) for family, kind, _, _, target in found]

    def _send_to(self, sender: Any, head: str, text: str, wait: int) -> None:
        if sender.type == socket.SOCK_STREAM:
            # One line a message (RFC 6587, 3.4.2): JSON has no new line in it.
            data = self._rest or f"{head}{text}\n".encode(errors="backslashreplace")
            while data:
                self._rest = data
                data = data[sender.send(data) :]
            self._rest = b""
            return
        while True:
            room = self._largest - len(head)
            data = (head + (text if len(text) <= room else fit(text, room))).encode(errors="backslashreplace")
            try:
                sender.send(data)
                break
            except OSError as error:
                if error.errno != errno.EMSGSIZE or len(data) <= _SMALLEST:
                    raise
                self._largest = max(_SMALLEST, min(self._largest, len(data)) * 3 // 4)
        watch(sender, select.POLLERR).poll(wait)
        if refused := sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(refused, os.strerror(refused))


def _address(given: str | Sequence[str | int]) -> str | tuple[str, int]:
    if isinstance(given, str) and given:
        return given
    with contextlib.suppress(TypeError, ValueError):
        host, port = given
        if isinstance(host, str) and host and 0 < int(port) <= _HIGHEST_PORT:
            return host, int(port)
    raise ConfigurationError(f"address of a syslog handler: {given!r}: must be (host, port) or a path")


def _facility(given: int | str) -> int:
    names = SysLogHandler.facility_names
    number = names.get(given.lower()) if isinstance(given, str) else given
    if number is None or number not in names.values():
        raise ConfigurationError(f"facility of a syslog handler: {given!r}: must be one of {', '.join(names)}")
    return number


def _kind(given: socket.SocketKind | str | None) -> socket.SocketKind | None:
    kind = _KINDS.get(given.lower()) if isinstance(given, str) else given
    if kind not in (*_KINDS.values(), None) or (kind is None and given is not None):
        raise ConfigurationError(f"socktype of a syslog handler: {given!r}: must be udp or tcp")
    return kind
