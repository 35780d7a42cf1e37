"""Sending lines to a syslog server: UDP, TCP, or the datagrams or stream of a unix socket.

Runs on the thread of a queue, so that neither a slow name server nor a syslog server that is away is felt elsewhere.
"""

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from c2c_logging._complaint import Complaint
from c2c_logging._fit import refit

RESOLVE_EVERY = 60.0
"""Seconds after which a name is resolved again: of a datagram nobody says that it went to where the server was."""
_TIMEOUT = 5.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_SMALLEST = 200


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
        take_dropped: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._clock = clock
        self._resolved = 0.0
        self._kind = kind
        self._socket: socket.socket | None = None
        self._target: Any = None
        self._take_dropped = take_dropped
        self._largest = 1 << 20
        self._pid = os.getpid()
        shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        self._complaint = Complaint(f"syslog server {shown}")

    @property
    def is_away(self) -> bool:
        """Whether the server was away when it was last tried."""
        return self._complaint.is_wrong

    def send(self, lines: list[Line], hurry: Callable[[], bool]) -> None:
        """Send lines in order; while the server is away, wait for it, unless there is no time for that."""
        if self._pid != os.getpid():
            self.close()  # after a fork: the parent's connection stays the parent's
            self._pid = os.getpid()
        for line in lines:
            pause = _FIRST_PAUSE
            while not self._try(line):
                if hurry():
                    return
                end = time.monotonic() + pause
                while time.monotonic() < end and not hurry():
                    time.sleep(0.05)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, line: Line) -> bool:
        try:
            sender = self._connected()
            if sender.type == socket.SOCK_STREAM:
                # One line a message (RFC 6587, 3.4.2): JSON has no new line in it.
                sender.sendall(f"{line.head}{line.json}\n".encode(errors="backslashreplace"))
            else:
                self._send_datagram(sender, line)
        except (OSError, UnicodeError) as error:
            self.close()
            self._complaint.wrong(f"is away ({error}): lines are kept meanwhile, the newest are dropped when too many")
            return False
        if self._complaint.is_wrong:
            self._complaint.right(f", {self._take_dropped()} lines were dropped")
        return True

    def _send_datagram(self, sender: socket.socket, line: Line) -> None:
        text = line.json
        while True:
            if len(line.head) + len(text) > self._largest:
                text = refit(line.json, self._largest - len(line.head))
            data = f"{line.head}{text}".encode(errors="backslashreplace")
            try:
                sender.sendto(data, self._target)
            except OSError as error:
                if error.errno != errno.EMSGSIZE or len(data) <= _SMALLEST:
                    raise
                self._largest = max(_SMALLEST, min(self._largest, len(data)) * 3 // 4)
            else:
                return

    def _connected(self) -> socket.socket:
        """Return the connection; another one where the server hung up, or may be elsewhere by now."""
        found = self._socket
        if found is None:
            return self._connect()
        if found.type == socket.SOCK_STREAM:
            if not _has_hung_up(found):
                return found
            self.close()
            return self._connect()
        if self._clock() - self._resolved > RESOLVE_EVERY:
            with contextlib.suppress(OSError, UnicodeError):  # then the server is where it was
                self._connect()
                found.close()
            self._resolved = self._clock()
        return self._socket or found

    def _connect(self) -> socket.socket:
        self._resolved = self._clock()
        if isinstance(self._address, str):
            kinds = (self._kind,) if self._kind is not None else (socket.SOCK_DGRAM, socket.SOCK_STREAM)
            choices = [(socket.AF_UNIX, kind, self._address) for kind in kinds]
        else:
            host, port = self._address
            found = socket.getaddrinfo(host, port, type=self._kind or socket.SOCK_DGRAM)
            choices = [(family, kind, target) for family, kind, _, _, target in found]  # type: ignore[misc]
        problem: OSError = OSError("no address")
        for family, kind, target in choices:
            candidate = socket.socket(family, kind)
            candidate.settimeout(_TIMEOUT)
            try:
                if kind == socket.SOCK_STREAM or isinstance(target, str):
                    candidate.connect(target)
            except OSError as error:
                candidate.close()
                problem = error
                continue
            self._socket, self._target = candidate, target
            return candidate
        raise problem

    def close(self) -> None:
        """Close the connection; the next line makes a new one."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


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
