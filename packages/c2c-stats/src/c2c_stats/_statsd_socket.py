"""The way to the statsd server: a datagram socket that notices refusals, and finds the server again when it moved."""

import logging
import os
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from c2c_stats._address import Address
from c2c_stats._notices import later

_LOG = logging.getLogger(__name__)

RESOLVE_EVERY = 60.0
"""Seconds after which a name is resolved again."""
# A full buffer is waited for so long (ms); this runs in a thread of its own.
_PATIENCE = 200

_Peer = tuple[socket.AddressFamily, Any]


class Sender:
    """Send datagrams to the first of a server's addresses that takes them.

    Nobody answers a datagram; but where nobody listens the network says so (ICMP): at once on this host, later from
    another one. So a datagram that was sent is in doubt until ``settle``. When the server goes away and when it is back
    is told to ``say``, once.
    """

    def __init__(self, address: Address, clock: Callable[[], float] = monotonic) -> None:
        self._address = address
        self._clock = clock
        self._socket: socket.socket | None = None
        self._peers: list[_Peer] = []
        self._resolved = 0.0
        self._away = False
        self._in_doubt: list[Any] = []
        self._lost: list[Any] = []

    def prepare(self) -> OSError | None:
        """Find the server, which may take long, where that was not done for a while."""
        if not self._peers or self._clock() - self._resolved > RESOLVE_EVERY:
            return self._resolve()
        return None

    def send(self, datagram: bytes, about: Any = None, *, wait: bool = True) -> bool:
        """Send one datagram, trying one address after the other; False where none takes it.

        ``about`` is what ``settle`` will tell of it. Without ``wait`` neither a name is looked up nor room waited for.
        """
        error = self.prepare() if wait else None
        # Once more than there are: a socket to a server that was started anew fails once.
        for _ in range(len(self._peers) + 1 if self._peers else 0):
            error = self._try(datagram, _PATIENCE if wait else 0)
            if error is None:
                self._in_doubt.append(about)
                return True
            if isinstance(error, TimeoutError):
                break
            self._give_up_address()
        if not isinstance(error, TimeoutError):
            self._resolved = -RESOLVE_EVERY
        self._tell(error)
        return False

    @property
    def ready(self) -> bool:
        """Whether the server was found, so that ``send`` needs not wait."""
        return bool(self._peers)

    def settle(self) -> tuple[list[Any], list[Any]]:
        """Return what the datagrams were about that nobody refused since the last call, and those that were refused."""
        error = self._pending()
        if error is not None:
            self._give_up_address()
            self._tell(error)
        sent, self._in_doubt = self._in_doubt, []
        lost, self._lost = self._lost, []
        if sent and self._away:
            self._away = False
            later(_LOG, "statsd at %s can be reached again", self._address)
        return sent, lost

    def close(self) -> None:
        """Close the socket; the next datagram opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _try(self, datagram: bytes, patience: int) -> OSError | None:
        try:
            opened = self._socket or self._open(*self._peers[0])
            try:
                opened.send(datagram)
            except BlockingIOError:
                # select() knows no file above 1023.
                full = select.poll()
                full.register(opened, select.POLLOUT)
                if not full.poll(patience):
                    return TimeoutError("its buffer is full")
                opened.send(datagram)
        except BlockingIOError:
            return TimeoutError("its buffer is full")
        except OSError as error:
            return error
        return self._pending()

    def _open(self, family: socket.AddressFamily, peer: Any) -> socket.socket:
        new = socket.socket(family, socket.SOCK_DGRAM)
        try:
            new.setblocking(False)
            new.connect(peer)  # only a connected socket is told of refusals
        except OSError:
            new.close()
            raise
        self._socket = new
        return new

    def _pending(self) -> OSError | None:
        """Return what the network said of datagrams sent before."""
        number = 0 if self._socket is None else self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def _give_up_address(self) -> None:
        """Go on with the next address: what was sent to this one is lost."""
        self.close()
        self._peers.append(self._peers.pop(0))
        self._lost += self._in_doubt
        self._in_doubt = []

    def _resolve(self) -> OSError | None:
        """Find the addresses of the server; keep the socket there is, where its address is still one of them."""
        self._resolved = self._clock()
        try:
            found = self._find()
        except (OSError, UnicodeError) as error:
            # UnicodeError: a name that IDNA can't encode. The addresses known before may still do.
            return error if isinstance(error, OSError) else OSError(str(error))
        if self._socket is not None and self._peers[0] in found:
            found.remove(self._peers[0])
            found.insert(0, self._peers[0])
        else:
            self.close()
        self._peers = found
        return None

    def _find(self) -> list[_Peer]:
        if self._address.path:
            return [(socket.AF_UNIX, self._address.path)]
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
        return list(dict.fromkeys((family, peer) for family, _, _, _, peer in found))

    def _tell(self, error: OSError | None) -> None:
        if not self._away:
            self._away = True
            later(_LOG, "statsd at %s can't be reached, its metrics wait or are dropped: %s", self._address, error)
