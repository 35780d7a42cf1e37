"""``PyramidCeeSysLogHandler``: a line of JSON a record, to a syslog server, with the CEE cookie.

Lines are sent over UDP, TCP, or the datagrams or stream of a unix socket, by the thread of a queue, so that neither a
slow name server nor a syslog server that is away, or does not read, is felt elsewhere.
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
from typing import Any, Final

from c2c_broadcast import ConfigurationError, load
from c2c_logging._handlers import QueueHandler, ServerQueue
from c2c_logging._line import fit, line_of, syslog_level
from c2c_logging._settings import HandlerSettings

_SURE_AFTER = 1.0  # seconds without a refusal
# Seconds after which a name is resolved again: of a datagram nobody says that it went to where the server was.
_RESOLVE_EVERY = 60.0
_TIMEOUT = 5.0
_SMALLEST = 200
# Milliseconds in which a host says that nobody listens at the port of a first datagram; this one waits for it.
_REFUSAL = 20
_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_HIGHEST_PORT = 65_535
_COOKIE: Final = ": @cee: "

Address = str | tuple[str, int] | Sequence[str | int]


class PyramidCeeSysLogHandler(QueueHandler):
    """Send each record to syslog as ``: @cee: {json}`` (what rsyslog's mmjsonparse reads).

    Lines are sent by a thread of their own: a server that is away, slow or of an unknown name blocks nothing, and is
    complained about once. Up to 10,000 lines wait for it. To add to the JSON, override ``format(record)``.

    Args:
        address: host and port as tuple or list, or the path of a unix socket
        facility: number or name of the syslog facility
        socktype: ``socket.SOCK_DGRAM`` (UDP, the default) or ``socket.SOCK_STREAM`` (TCP), or ``"udp"``, ``"tcp"``

    Raises:
        ConfigurationError: An argument is none of those; whether the server can be reached does not matter.
    """

    def __init__(
        self,
        address: Address = ("localhost", SYSLOG_UDP_PORT),
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
        try:
            priority = (self.facility << 3) | syslog_level(record.levelno)
            line = f"<{priority}>{_COOKIE}" + self.format(record)
            self._queue.put(line, len(line))
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)


class SyslogQueue(ServerQueue[str]):
    """One connection to one server, made when there is something to send."""

    size, wait, at_end = 8_000_000, 0.0, 2.0
    _socket: socket.socket | None = None

    def __init__(self, address: str | tuple[str, int], kind: socket.SocketKind | None) -> None:
        self._address = address
        self._kind = kind
        self._resolved = 0.0
        self._is_sent = False
        self._largest = 1 << 20
        self._taken_since: float | None = None
        shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        super().__init__("c2c-logging-syslog", f"syslog server {shown}")

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

    def consume(self, batch: list[str]) -> int:
        """Send lines in order."""
        for number, line in enumerate(batch):
            if not self.until_it_works(partial(self._send, line)):
                return len(batch) - number
        return 0

    def _send(self, line: str) -> None:
        try:
            sender = self._connected(line)
            if sender.type == socket.SOCK_STREAM:
                self._send_to_stream(sender, line)
            else:
                self._send_datagram(sender, line)
        except Exception as error:
            self._taken_since = None
            if not isinstance(error, TimeoutError):
                self.over()
            raise
        self._taken_since = self._taken_since or time.monotonic()
        # That a datagram is refused comes after it was sent.
        if sender.type == socket.SOCK_STREAM or time.monotonic() - self._taken_since > _SURE_AFTER:
            self._server.right()

    def _send_to_stream(self, sender: socket.socket, line: str) -> None:
        # One line a message (RFC 6587, 3.4.2): JSON has no new line in it. Who does not read keeps the connection, and
        # gets the rest of the line when it does: a new connection would be taken for a server that is back.
        data = self._rest or f"{line}\n".encode(errors="backslashreplace")
        while data:
            self._rest = data
            data = data[sender.send(data) :]
        self._rest = b""

    def _send_datagram(self, sender: socket.socket, line: str) -> None:
        if self._is_sent:
            self._is_sent = False
        else:
            self._send_what_fits(sender, line)
        if refused := sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(refused, os.strerror(refused))

    def _send_what_fits(self, sender: socket.socket, line: str) -> None:
        while True:
            if len(line) > self._largest:
                priority, _, text = line.partition(_COOKIE)
                head = priority + _COOKIE
                line = head + fit(text, self._largest - len(head))
            data = line.encode(errors="backslashreplace")
            try:
                sender.send(data)
            except OSError as error:
                if error.errno != errno.EMSGSIZE or len(data) <= _SMALLEST:
                    raise
                self._largest = max(_SMALLEST, min(self._largest, len(data)) * 3 // 4)
            else:
                return

    def _connected(self, line: str) -> socket.socket:
        """Return the connection; another one where the server hung up, or may be elsewhere by now.

        Of several addresses for datagrams the first is taken that does not refuse ``line``, which is sent then.
        """
        found = self._socket
        if found is None:
            return self._connect(line)
        if found.type == socket.SOCK_STREAM:
            if not _has_hung_up(found):
                return found
            self.over()
            return self._connect(line)
        if time.monotonic() - self._resolved > _RESOLVE_EVERY:
            with contextlib.suppress(OSError, UnicodeError):  # then the server is where it was
                self._connect(line)
                found.close()
        return self._socket or found

    def _connect(self, line: str) -> socket.socket:
        self._resolved = time.monotonic()
        if isinstance(self._address, str):
            kinds = (self._kind,) if self._kind is not None else (socket.SOCK_DGRAM, socket.SOCK_STREAM)
            choices: list[Any] = [(socket.AF_UNIX, kind, self._address) for kind in kinds]
        else:
            host, port = self._address
            found = socket.getaddrinfo(host, port, type=self._kind or socket.SOCK_DGRAM)
            choices = [(family, kind, target) for family, kind, _, _, target in found]
        problem: OSError = OSError("no address")
        for number, (family, kind, target) in enumerate(choices):
            with contextlib.ExitStack() as stack:
                try:
                    candidate = stack.enter_context(socket.socket(family, kind))
                    candidate.settimeout(_TIMEOUT)
                    candidate.connect(target)
                    if kind == socket.SOCK_DGRAM and family != socket.AF_UNIX and number < len(choices) - 1:
                        self._is_sent = _is_taken(candidate, line)
                except OSError as error:
                    problem = error
                else:
                    stack.pop_all()
                    self._socket = candidate
                    return candidate
        raise problem


def _is_taken(candidate: socket.socket, line: str) -> bool:
    """Send a first datagram; False where it is too long. Raise where nobody listens (as at ::1 of a localhost)."""
    try:
        candidate.send(line.encode(errors="backslashreplace"))
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            return False
        raise
    watched = select.poll()
    watched.register(candidate, select.POLLERR)
    if watched.poll(_REFUSAL) and (number := candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        raise OSError(number, os.strerror(number))
    return True


def _has_hung_up(stream: socket.socket) -> bool:
    """Tell whether the other side closed a connection: one more line would be lost on it, without an error."""
    watched = select.poll()
    watched.register(stream, select.POLLIN)
    if not watched.poll(0):
        return False
    try:
        return not stream.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _address(given: Address) -> str | tuple[str, int]:
    if isinstance(given, str) and given:
        return given
    with contextlib.suppress(TypeError, ValueError):
        host, port = given
        if isinstance(host, str) and host and 0 < int(port) <= _HIGHEST_PORT:
            return host, int(port)
    raise ConfigurationError(
        f"address of a syslog handler: {given!r}: must be (host, port) or the path of a unix socket"
    )


def _facility(given: int | str) -> int:
    names = SysLogHandler.facility_names
    number = names.get(given.lower()) if isinstance(given, str) else given
    if number is None or number not in names.values():
        raise ConfigurationError(f"facility of a syslog handler: {given!r}: must be one of {', '.join(names)}")
    return number


def _kind(given: socket.SocketKind | str | None) -> socket.SocketKind | None:
    if given is None:
        return None
    kind = _KINDS.get(given.lower()) if isinstance(given, str) else given
    if kind not in _KINDS.values():
        raise ConfigurationError(f"socktype of a syslog handler: {given!r}: must be udp or tcp")
    return kind
