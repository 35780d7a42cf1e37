"""What all sinks have: something to keep what came, and being down."""

import contextlib
import socket
import socketserver
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from c2c_testing.utils import between, retry_timeout

HOST = "127.0.0.1"
T = TypeVar("T")
_TIMEOUT = 30.0
POLL = 0.02
# More than the biggest datagram (UDP 65,507 bytes; a unix one may be bigger, by the socket's send buffer).
_BIGGEST = 1 << 20
_RECEIVE_BUFFER = 1 << 22


class Sink(ABC, Generic[T]):
    """A server of this process that keeps what it gets; a context manager.

    ``errors`` holds what was malformed; the fixture fails a test that leaves any.
    """

    host = HOST
    #: The attribute of what is received that ``wait`` takes a text for.
    _key: ClassVar[str]

    def __init__(self) -> None:
        self.port = 0
        self.errors: list[str] = []
        self._received: list[T] = []
        self._changed = threading.Condition()
        self.start()

    @abstractmethod
    def start(self) -> None:
        """Listen, on the same ports as the last time; nothing when it does."""

    @abstractmethod
    def stop(self) -> None:
        """Close it, as a server that is down, and all its connections; what was received stays."""

    def down(self) -> AbstractContextManager[None]:
        """Be down for the length of a ``with``."""
        return between(self.stop, self.start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def clear(self) -> None:
        """Forget all that was received, errors too."""
        with self._changed:
            self._received.clear()
            self.errors.clear()

    def wait(
        self, what: str | Callable[[T], bool] = lambda _: True, count: int = 1, timeout: float = _TIMEOUT
    ) -> list[T]:
        """Wait for ``count`` of what is received, by name (a request's path) or function, and return all such.

        AssertionError shows what is there, where fewer come in ``timeout`` seconds.
        """
        match = (lambda item: bool(getattr(item, self._key) == what)) if isinstance(what, str) else what
        return self._wait(lambda: [item for item in self._received if match(item)], count, timeout)

    def _put(self, item: T) -> None:
        with self._changed:
            self._received.append(item)
            self._changed.notify_all()

    def _all(self) -> list[T]:
        with self._changed:
            return list(self._received)

    def _wait(self, find: Callable[[], list[Any]], count: int, timeout: float) -> list[Any]:
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(found := find()) < count:
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    there = "\n".join(map(repr, self._received)) or "nothing"
                    raise AssertionError(f"{len(found)} of {count} came in {timeout} s. What is there:\n{there}")
            return found


class _UdpServer(socketserver.UDPServer):
    max_packet_size = _BIGGEST


class _UnixServer(socketserver.UnixDatagramServer):
    max_packet_size = _BIGGEST


class DatagramSink(Sink[T]):
    """A sink that reads datagrams from a UDP port and from a unix socket.

    ``port`` and ``path`` stay the same over ``stop`` and ``start``.
    """

    def __init__(self) -> None:
        self._servers: list[socketserver.BaseServer] = []
        self._folder = tempfile.TemporaryDirectory(prefix="c2c-testing-")
        self.path = Path(self._folder.name, "socket")
        super().__init__()

    @abstractmethod
    def _receive(self, transport: str, data: bytes) -> None:
        """Take one datagram, from "udp" or "unix"."""

    def _listen(self) -> Iterator[socketserver.BaseServer]:
        def taker(transport: str) -> Any:
            return lambda request, *_: self._receive(transport, request[0])

        udp = _UdpServer((HOST, self.port), taker("udp"))
        self.port = udp.server_address[1]
        for server in (udp, _UnixServer(str(self.path), taker("unix"))):
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            yield server

    def start(self) -> None:
        """Listen, on the same ports as the last time; nothing when it does."""
        for server in self._listen() if not self._servers else ():
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(POLL,), daemon=True, name=type(self).__name__).start()

    def stop(self) -> None:
        """Close the sockets, as a server that is down; what was received stays."""
        while self._servers:
            server = self._servers.pop()
            server.shutdown()
            server.server_close()
        self.path.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()


class StreamServer(socketserver.ThreadingTCPServer):
    """A thread for each connection; the end of the server is that of all connections."""

    allow_reuse_address = True
    daemon_threads = True  # a sink that nobody stops does not keep the process

    def __init__(self, *arguments: Any) -> None:
        self._connections: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)  # before its thread begins, so that server_close misses none
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()
        retry_timeout(lambda: not self._connections, _TIMEOUT, POLL)  # until all is read that came

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gives up is what tests do."""
