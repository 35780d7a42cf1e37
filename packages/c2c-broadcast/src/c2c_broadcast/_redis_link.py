"""One connection to Redis for everything: commands of any thread, their replies, and the messages that come in.

With RESP3 (Redis 6, 2020) a connection that listens may also send commands. So a process needs one socket and one
thread; replies and messages come in the order in which Redis made them; and there is one answer to "is it connected".
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from c2c_broadcast._resp import ProtocolError, Push, Reader, pack

Handler = Callable[[Any], None]

TICK = 0.25
"""Seconds after which the listening thread looks what else is to do."""

_PIECE = 64 * 1024
_LARGE_PIECE = 1024 * 1024


class LinkDownError(OSError):
    """The connection is gone; also what the handlers of commands without a reply get."""


class Link:
    """A connection in use. ``send`` is for any thread, everything else for the one that listens.

    ``timeout`` is how long Redis may be silent while a reply is due, and while nothing can be sent.
    """

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._socket = sock
        self._timeout = timeout
        # OpenSSL allows one thread at a time in a connection, be it to read or to write: so nobody may wait in there.
        self._tls = threading.Lock() if isinstance(sock, ssl.SSLSocket) else None
        sock.settimeout(TICK if self._tls is None else 0.0)
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._reader = Reader()
        self._piece = _PIECE
        self._sending = threading.Lock()
        self._due: deque[tuple[float, Handler | None]] = deque()
        self._heard = time.monotonic()
        self._down = False

    @property
    def down(self) -> bool:
        """Whether the connection is known to be gone."""
        return self._down

    def send(self, *commands: tuple[bytes, Handler | None]) -> None:
        """Send packed commands, together; each handler gets the reply, an error, or LinkDownError, in any thread.

        Raises:
            LinkDownError: The connection is gone; handlers may be called nevertheless.
        """
        data = b"".join(command for command, _ in commands) if len(commands) > 1 else commands[0][0]
        with self._sending:
            if self._down:
                raise LinkDownError("the connection is closed")
            now = time.monotonic()
            self._due.extend((now, handler) for _, handler in commands)
            try:
                self._write(data)
            except OSError as error:
                self._break()
                raise LinkDownError(str(error)) from error

    def call(self, *arguments: bytes | str | float, timeout: float = 1.0) -> Any:
        """Send a command and return its reply. Not for the listening thread.

        Raises:
            LinkDownError: No reply came.
        """
        got: list[Any] = []
        came = threading.Event()

        def handle(reply: Any) -> None:
            got.append(reply)
            came.set()

        self.send((pack(*arguments), handle))
        if not came.wait(timeout) or isinstance(got[0], LinkDownError):
            raise LinkDownError("no reply")
        return got[0]

    def receive(self, on_message: Callable[[Push], None]) -> None:
        """Wait for something to come, at most for a ``TICK``, and handle all that came.

        Raises:
            LinkDownError, ProtocolError: The connection is of no use any more.
        """
        data = self._read()
        if data:
            for reply in self._reader.feed(data):
                if type(reply) is Push:
                    on_message(reply)
                    continue
                try:
                    handler = self._due.popleft()[1]
                except IndexError:
                    raise ProtocolError("a reply that nobody asked for") from None
                if handler is not None:
                    handler(reply)
        elif self._down:
            raise LinkDownError("a thread could not send")
        now = time.monotonic()
        if self._due and now - max(self._heard, self._due[0][0]) > self._timeout:
            raise LinkDownError(f"no reply for {self._timeout:g} s")

    def close(self) -> None:
        """Close the connection and tell the handlers that still wait. More than once is fine."""
        with self._sending:
            self._break()
        self._socket.close()
        while self._due:
            handler = self._due.popleft()[1]
            if handler is not None:
                handler(LinkDownError("the connection is gone"))

    def shut_down(self) -> None:
        """Make the listening thread close the connection."""
        with self._sending:
            self._break()

    def abandon(self) -> None:
        """In a forked child: close the copy of the socket; the parent's connection lives."""
        self._down = True
        self._socket.close()

    def _break(self) -> None:
        if not self._down:
            self._down = True
            with contextlib.suppress(OSError):  # it may be gone already
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the listening thread

    def _read(self) -> bytes:
        try:
            if self._tls is None:
                data = self._socket.recv(self._piece)
            elif self._readable.poll(TICK * 1000):
                data = self._read_tls()
            else:
                return b""
        except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise LinkDownError(str(error)) from error
        if not data:
            raise LinkDownError("Redis closed the connection")
        self._heard = time.monotonic()
        self._piece = _LARGE_PIECE if len(data) == self._piece else _PIECE
        return data

    def _read_tls(self) -> bytes:
        sock = self._socket
        assert isinstance(sock, ssl.SSLSocket)
        assert self._tls is not None
        with self._tls:
            data = sock.recv(self._piece)
            while pending := sock.pending():  # what OpenSSL holds, poll() does not see
                data += sock.recv(pending)
        return data

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        patience = self._timeout
        while rest:
            try:
                if self._tls is None:
                    sent = self._socket.send(rest)
                else:
                    with self._tls:
                        sent = self._socket.send(rest)
            except TimeoutError:
                sent = 0
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                sent = 0
                writable = select.poll()
                writable.register(self._socket, select.POLLOUT)
                writable.poll(TICK * 1000)
            patience = self._timeout if sent else patience - TICK
            if patience <= 0:
                raise LinkDownError(f"nothing could be sent for {self._timeout:g} s")
            rest = rest[sent:]
