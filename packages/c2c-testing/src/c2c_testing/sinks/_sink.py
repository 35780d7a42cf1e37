"""What all sinks have: something to keep what came, and being down."""

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

HOST = "127.0.0.1"
T = TypeVar("T")
_TIMEOUT = 30.0
# More than the biggest datagram (UDP 65,507 bytes; a unix one may be bigger, by the socket's send buffer).
_BIGGEST = 1 << 20
_RECEIVE_BUFFER = 1 << 22


class Inbox(Generic[T]):
    """What a sink received: a list that its thread appends to, and that a test can wait for."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Append one."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def all(self) -> list[T]:
        """Return what is there now, oldest first."""
        with self._changed:
            return list(self._items)

    def clear(self) -> None:
        """Forget what is there now."""
        with self._changed:
            self._items.clear()

    def wait(self, match: Callable[[T], bool] = lambda _: True, count: int = 1, timeout: float = _TIMEOUT) -> list[T]:
        """Wait for ``count`` items that match and return all that do.

        Raises:
            AssertionError: fewer came in ``timeout`` seconds; the message shows what is there
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(found := [item for item in self._items if match(item)]) < count:
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    there = "\n".join(map(repr, self._items)) or "nothing"
                    raise AssertionError(f"{len(found)} of {count} came in {timeout} s. What is there:\n{there}")
            return found


class Sink(ABC):
    """A server that is a context manager."""

    host = HOST

    @abstractmethod
    def start(self) -> None:
        """Listen; nothing when it does."""

    @abstractmethod
    def stop(self) -> None:
        """Close it, as a server that is down; what was received stays."""

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DatagramSink(Sink):
    """A sink that reads datagrams from a UDP port and from a unix socket.

    ``port`` and ``path`` stay the same over ``stop`` and ``start``.
    """

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

    def close(self) -> None:
        """End it."""
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)
