"""The way to the statsd server: a datagram socket that finds the server again when it moved."""

import logging
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from c2c_stats._address import Address

_LOG = logging.getLogger(__name__)

RESOLVE_EVERY = 60.0
"""Seconds after which a name is resolved again."""
# A full buffer is waited for so long (ms); this runs in a thread of its own.
_PATIENCE = 200
_CALM = 10.0


class Sender:
    """Send datagrams; False where one could not be sent. Says once when that begins, and once when it is over."""

    def __init__(self, address: Address, clock: Callable[[], float] = monotonic) -> None:
        self._address = address
        self._clock = clock
        self._socket: socket.socket | None = None
        self._peer: object = None
        self._resolved = 0.0
        self._failed: float | None = None
        self._why: OSError | None = None

    def send(self, datagram: bytes) -> bool:
        """Send one datagram; where that fails, find the server anew and try once more."""
        if self._socket is None or self._clock() - self._resolved > RESOLVE_EVERY:
            self.connect()
        error = self._try(datagram)
        if error is not None and not isinstance(error, TimeoutError | BlockingIOError):
            self.close()
            self.connect()
            error = self._try(datagram)
        self._tell(error)
        return error is None

    @property
    def ready(self) -> bool:
        """Whether ``send_now`` can be tried."""
        return self._socket is not None

    def send_now(self, datagram: bytes) -> bool:
        """Send one datagram without waiting for anything; where that fails, ``send`` finds the server anew."""
        try:
            if self._socket is not None:
                self._socket.send(datagram)
                return True
        except BlockingIOError:
            pass
        except OSError:
            self._resolved = -RESOLVE_EVERY
        return False

    def close(self) -> None:
        """Close the socket; the next datagram opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _try(self, datagram: bytes) -> OSError | None:
        if self._socket is None:
            return self._why
        try:
            try:
                self._socket.send(datagram)
            except BlockingIOError:
                # select() knows no file above 1023.
                full = select.poll()
                full.register(self._socket, select.POLLOUT)
                if not full.poll(_PATIENCE):
                    return TimeoutError("its buffer is full")
                self._socket.send(datagram)
        except OSError as error:
            return error
        return None

    def connect(self) -> None:
        """Open a socket to where the server is now; keep the one there is, where that is the same place."""
        self._why = None
        self._resolved = self._clock()
        try:
            family, peer = self._find()
            if self._socket is not None and peer == self._peer:
                return
            self.close()
            new = socket.socket(family, socket.SOCK_DGRAM)
            try:
                new.setblocking(False)
                new.connect(peer)
            except OSError:
                new.close()
                raise
            self._socket, self._peer = new, peer
        except (OSError, UnicodeError) as error:
            # UnicodeError: a name that IDNA can't encode.
            self._why = error if isinstance(error, OSError) else OSError(str(error))

    def _find(self) -> tuple[socket.AddressFamily, Any]:
        if self._address.path:
            return socket.AF_UNIX, self._address.path
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
        return found[0][0], found[0][4]

    def _tell(self, error: OSError | None) -> None:
        now = self._clock()
        if error is not None:
            if self._failed is None:
                _LOG.warning("statsd at %s can't be reached, its metrics wait or are dropped: %s", self._address, error)
            self._failed = now
        elif self._failed is not None and now - self._failed > _CALM:
            # Of datagrams to a port where nobody listens, only every other one fails.
            self._failed = None
            _LOG.info("statsd at %s can be reached again", self._address)
