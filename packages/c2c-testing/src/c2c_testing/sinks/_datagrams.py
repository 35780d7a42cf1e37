"""Sockets that a sink listens on, each read by a daemon thread."""

import contextlib
import shutil
import socket
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
# More than the biggest datagram (UDP 65,507 bytes; a unix one may be bigger, by the socket's send buffer).
_BIGGEST = 1 << 20
_RECEIVE_BUFFER = 1 << 22


class DatagramSink(ABC):
    """A sink that reads datagrams from a UDP port and from a unix socket.

    ``port`` and ``path`` stay the same over ``stop`` and ``start``.
    """

    host = HOST

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="c2c-testing-"))
        self.port = 0
        self.path = self._folder / "socket"
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self.start()

    @abstractmethod
    def _receive(self, transport: str, data: bytes) -> None:
        """Take one datagram, from "udp" or "unix"."""

    def start(self) -> None:
        """Listen; nothing when it does."""
        if self._open:
            return
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((HOST, self.port))
        self.port = udp.getsockname()[1]
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unix.bind(str(self.path))
        for transport, listener in (("udp", udp), ("unix", unix)):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._open.append(listener)
            self._spawn(self._read, transport, listener)

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True, name=type(self).__name__)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _read(self, transport: str, listener: socket.socket) -> None:
        while True:
            data = listener.recv(_BIGGEST)
            if not data and self._stopping:
                return
            self._receive(transport, data)

    def stop(self) -> None:
        """Close the sockets, as a server that is down; what was received stays."""
        self._stopping = True
        while self._threads:
            for listener in list(self._open):
                with contextlib.suppress(OSError):  # an unconnected UDP socket says so, and wakes its reader still
                    listener.shutdown(socket.SHUT_RDWR)
            self._threads.pop().join(10)
        for listener in self._open:
            listener.close()
        self._open.clear()
        self._stopping = False
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of a ``with``."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """End it."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
