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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from logging.handlers import SYSLOG_UDP_PORT, SysLogHandler
from typing import Any

from c2c_broadcast import ConfigurationError, load
from c2c_logging._handlers import QueueHandler
from c2c_logging._line import fit, line_of, syslog_level
from c2c_logging._output import Complaint
from c2c_logging._queue import Bounds, until_it_works
from c2c_logging._settings import HandlerSettings

_SURE_AFTER = 1.0  # seconds without a refusal
RESOLVE_EVERY = 60.0
"""Seconds after which a name is resolved again: of a datagram nobody says that it went to where the server was."""
_TIMEOUT = 5.0
_SMALLEST = 200
# Milliseconds in which a host says that nobody listens at the port of a first datagram; this one waits for it.
_REFUSAL = 20
_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_BOUNDS = Bounds(items=10_000, size=8_000_000, batch=100, wait=0.0, at_end=2.0)
_HIGHEST_PORT = 65_535

Address = str | tuple[str, int] | Sequence[str | int]


class PyramidCeeSysLogHandler(QueueHandler["Line"]):
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
        self.dialect = load(HandlerSettings, {}, os.environ).json_dialect
        self.address = _address(address)
        self.facility = _facility(facility)
        self._sender = SyslogSender(self.address, _kind(socktype))
        super().__init__("log lines can't be sent to syslog", "c2c-logging-syslog", self._sender, _BOUNDS)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON. Never raises."""
        return line_of(record, self.dialect)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over to the thread that sends."""
        try:
            priority = (self.facility << 3) | syslog_level(record.levelno)
            text = self.format(record)
            self._queue.put(Line(f"<{priority}>: @cee: ", text), len(text))
        except Exception:  # noqa: BLE001 # whoever logs must not suffer for it
            self.handleError(record)

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter the record and hand it over: not one that is logged while sending, which would go round and round."""
        return False if self._queue.is_own_thread else super().handle(record)


@dataclass(frozen=True, slots=True)
class Line:
    """A line on its way: ``head`` is what stands before the JSON."""

    head: str
    json: str


class SyslogSender:
    """One connection to one server, made when there is something to send."""

    def __init__(
        self,
        address: str | tuple[str, int],
        kind: socket.SocketKind | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._clock = clock
        self._resolved = 0.0
        self._kind = kind
        self._socket: socket.socket | None = None
        self._rest = b""  # of a line of which the server took a part
        self._is_sent = False
        self._largest = 1 << 20
        self._taken_since: float | None = None
        self.is_away = False
        """Whether the server was away, or did not read, when it was last tried."""
        self._lost = 0
        self._pid = os.getpid()
        shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        self._complaint = Complaint(f"syslog server {shown}")

    def write(self, batch: list[Line], hurry: Callable[[], bool]) -> None:
        """Send lines in order; while the server is away, wait for it, unless there is no time for that."""
        if self._pid != os.getpid():
            self._disconnect()  # after a fork: the parent's connection stays the parent's
            self._pid, self._lost = os.getpid(), 0
        for number, line in enumerate(batch):
            if not until_it_works(partial(self._try, line), hurry):
                self._lost += len(batch) - number
                return

    def close(self) -> None:
        """Close the connection, and say what could not be sent; the next line makes a new one."""
        self._disconnect()
        lost, self._lost = self._lost, 0
        if lost:
            self._complaint.note(f"is away at the end: {lost} lines are lost")

    def _try(self, line: Line) -> bool:
        try:
            sender = self._connected(f"{line.head}{line.json}".encode(errors="backslashreplace"))
            if sender.type == socket.SOCK_STREAM:
                self._send_to_stream(sender, line)
            else:
                self._send_datagram(sender, line)
        except (OSError, UnicodeError) as error:
            problem = f"is away ({error})"
            if isinstance(error, TimeoutError):
                problem = "does not read"
            else:
                self._disconnect()
            self._complaint.wrong(f"{problem}: lines are kept meanwhile, the oldest are dropped when too many")
            self.is_away, self._taken_since = True, None
            return False
        self.is_away = False
        self._taken_since = self._taken_since or self._clock()
        # That a datagram is refused comes after it was sent.
        if sender.type == socket.SOCK_STREAM or self._clock() - self._taken_since > _SURE_AFTER:
            self._complaint.right()
        return True

    def _send_to_stream(self, sender: socket.socket, line: Line) -> None:
        # One line a message (RFC 6587, 3.4.2): JSON has no new line in it. Who does not read keeps the connection, and
        # gets the rest of the line when it does: a new connection would be taken for a server that is back.
        data = self._rest or f"{line.head}{line.json}\n".encode(errors="backslashreplace")
        while data:
            self._rest = data
            data = data[sender.send(data) :]
        self._rest = b""

    def _send_datagram(self, sender: socket.socket, line: Line) -> None:
        if self._is_sent:
            self._is_sent = False
        else:
            self._send_what_fits(sender, line)
        if refused := sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(refused, os.strerror(refused))

    def _send_what_fits(self, sender: socket.socket, line: Line) -> None:
        text = line.json
        while True:
            if len(line.head) + len(text) > self._largest:
                text = fit(line.json, self._largest - len(line.head))
            data = f"{line.head}{text}".encode(errors="backslashreplace")
            try:
                sender.send(data)
            except OSError as error:
                if error.errno != errno.EMSGSIZE or len(data) <= _SMALLEST:
                    raise
                self._largest = max(_SMALLEST, min(self._largest, len(data)) * 3 // 4)
            else:
                return

    def _connected(self, line: bytes) -> socket.socket:
        """Return the connection; another one where the server hung up, or may be elsewhere by now.

        Of several addresses for datagrams the first is taken that does not refuse ``line``, which is sent then.
        """
        found = self._socket
        if found is None:
            return self._connect(line)
        if found.type == socket.SOCK_STREAM:
            if not _has_hung_up(found):
                return found
            self._disconnect()
            return self._connect(line)
        if self._clock() - self._resolved > RESOLVE_EVERY:
            with contextlib.suppress(OSError, UnicodeError):  # then the server is where it was
                self._connect(line)
                found.close()
            self._resolved = self._clock()
        return self._socket or found

    def _connect(self, line: bytes) -> socket.socket:
        self._resolved = self._clock()
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

    def _disconnect(self) -> None:
        self._rest = b""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def _is_taken(candidate: socket.socket, line: bytes) -> bool:
    """Send a first datagram; False where it is too long. Raise where nobody listens (as at ::1 of a localhost)."""
    try:
        candidate.send(line)
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
