"""Broadcasts between the processes of one service on a host: unix sockets in the private folder of their family.

Each process listens on a socket of its own. Who asks connects to all of them, sends one request to each, and reads the
answer from the same connection; a request that wants no answer is just sent. A frame is its length (4 bytes) and JSON.
The kernel tells a process that was killed (the connection is refused or cut) from one that is stopped (it takes the
connection and says nothing), and whether a silent one has read the request.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import select
import selectors
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from c2c_broadcast._call import MAX_MESSAGE, BadMessageError, Call, Member, decode_object
from c2c_broadcast.process import Process, family, service_folder, this_process

_LEFT = ".left"
_BACKLOG = 1024
_MOST_CONNECTIONS = 1024
_CHUNK = 1 << 18
_PATIENCE = 5.0  # seconds for a peer to take an answer, or to send the rest of its request
_DYING = 0.02  # a process that was killed is looked at again so soon, until the kernel has ended it
_LONGEST = MAX_MESSAGE + 8192

Request = Callable[[bytes, Callable[[str, str], None]], object]
"""What takes a request: its bytes, and a function of the answer that may be called from any thread, once."""


def state_folder(prefix: str) -> Path:
    """Return the folder that the members of one family and prefix share.

    Raises:
        OSError: It can't be had.
    """
    # The prefix may hold anything, and the path of a socket has at most 107 bytes.
    return service_folder(f"b{hashlib.sha256(prefix.encode()).hexdigest()[:12]}")


class Host:
    """This process among those of its family that have the same prefix."""

    def __init__(self, me: Member, prefix: str, on_request: Request) -> None:
        self._me = me
        self._on_request = on_request
        self._folder = state_folder(prefix)
        self._socket, self.path = _listen(self._folder)
        self._seen: dict[str, tuple[Path, Member]] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="c2c-broadcast-host", daemon=True)

    def start(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: The system has no thread to give.
        """
        try:
            self._thread.start()
        except RuntimeError:
            self.close()
            raise

    def close(self) -> None:
        """Leave: nobody expects this process any more."""
        self._closing = True
        with contextlib.suppress(OSError):
            self.path.rename(self.path.with_suffix(_LEFT))
        if self._thread.ident is None:  # it was never started
            self._socket.close()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the listener

    def abandon(self) -> None:
        """In a forked child: close the copy of the socket, which is the parent's."""
        self._socket.close()

    def members(self) -> tuple[list[tuple[Path, Member]], list[Member]]:
        """Return the other members, and the workers of this service that have not begun to listen."""
        before, found = self._seen, {}
        known = {self._me.process}
        for name in os.listdir(self._folder):  # noqa: PTH208 # at each broadcast: a third of the time
            if name in before:  # a name is of one process for good
                found[name] = before[name]
                continue
            with contextlib.suppress(ValueError, OSError):
                process, path = Process.parse(name), self._folder / name
                if not name.endswith(_LEFT):
                    found[name] = path, self._member(name, process, path.stat().st_mtime)
                elif process.alive:
                    known.add(process)
                else:
                    path.unlink()
        found.pop(self.path.name, None)
        self._seen = found
        known.update(member.process for _, member in found.values())
        service = family()
        others = list(found.values())
        if service.root in known:
            return others, []  # what a member forks for its own purposes is no member
        silent = [process for process in service.workers() if process not in known]
        return others, [self._member(process.name, process, 0.0) for process in silent]

    @property
    def listening(self) -> bool:
        """Whether the listener's thread lives."""
        return self._thread.is_alive()

    def ask(self, call: Call, exchange: "Exchange", request: bytes) -> None:
        """Send a request to all others."""
        members, call.unasked = self.members()
        call.expect(member for _, member in members)
        for path, member in members:
            exchange.send(path, member, struct.pack("!I", len(request)) + request)

    def _member(self, name: str, process: Process, started: float) -> Member:
        me = self._me
        return Member(f"host:{name}", me.hostname, process, started, me.application, me.machine, me.family, started)

    # -- the listener's thread, where nothing waits --

    def _serve(self) -> None:
        selector = selectors.DefaultSelector()
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ)
        partly: dict[socket.socket, tuple[bytearray, float]] = {}
        try:
            while not self._closing:
                for key, _ in selector.select(_PATIENCE):
                    sock: Any = key.fileobj
                    if sock is self._socket:
                        self._accept(selector, partly)
                    else:
                        self._receive(selector, partly, sock)
                now = time.monotonic()
                for sock, (_, deadline) in list(partly.items()):
                    if deadline < now:
                        _drop(selector, partly, sock)
        finally:
            for sock in list(partly):
                _drop(selector, partly, sock)
            selector.close()
            self._socket.close()

    def _accept(self, selector: Any, partly: dict[socket.socket, tuple[bytearray, float]]) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._socket.accept()
            if len(partly) >= _MOST_CONNECTIONS:
                sock.close()
                return
            sock.setblocking(False)
            partly[sock] = (bytearray(), time.monotonic() + _PATIENCE)
            selector.register(sock, selectors.EVENT_READ)
            self._receive(selector, partly, sock)

    def _receive(self, selector: Any, partly: dict[socket.socket, tuple[bytearray, float]], sock: Any) -> None:
        data, _ = partly[sock]
        try:
            while chunk := sock.recv(_CHUNK):
                data += chunk
                if (frame := _frame(data)) is not None:
                    selector.unregister(sock)
                    del partly[sock]
                    self._on_request(frame, partial(_reply, sock))
                    return
        except BlockingIOError:
            return
        except (OSError, BadMessageError):
            pass
        _drop(selector, partly, sock)


def _listen(folder: Path) -> tuple[socket.socket, Path]:
    """Return a listening socket with a name of its own; it has the name only once it listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        own = this_process().name
        for old in folder.glob(f"{own}-*{_LEFT}"):
            old.unlink(missing_ok=True)
        for number in range(1000):
            path = folder / f"{own}-{number}"
            temporary = folder / f"new-{own}-{threading.get_ident()}"
            if path.exists():
                continue
            temporary.unlink(missing_ok=True)
            sock.bind(str(temporary))
            sock.listen(_BACKLOG)
            os.link(temporary, path)  # fails where another thread was faster
            temporary.unlink()
            return sock, path
        raise OSError(errno.EEXIST, "too many members in this process")  # noqa: TRY301 # the socket is closed below
    except BaseException:
        sock.close()
        raise


def _drop(selector: Any, partly: dict[socket.socket, tuple[bytearray, float]], sock: socket.socket) -> None:
    selector.unregister(sock)
    del partly[sock]
    sock.close()


def _frame(data: bytearray) -> bytes | None:
    """Return a whole frame, None where some of it is still to come."""
    if len(data) < 4:  # noqa: PLR2004 # the length
        return None
    (length,) = struct.unpack_from("!I", data)
    if length > _LONGEST:
        raise BadMessageError("a frame is too long")
    return bytes(data[4 : 4 + length]) if len(data) >= 4 + length else None


def _reply(sock: socket.socket, message: str, _sender: str) -> None:
    """Send an answer, if there is one, and close; who asked may have gone."""
    data = message.encode()
    with contextlib.suppress(OSError), sock:
        sock.settimeout(_PATIENCE)
        if data:
            sock.sendall(struct.pack("!I", len(data)) + data)


class _Peer:
    """One connection of a call."""

    __slots__ = ("data", "member", "path", "sock", "unsent")

    def __init__(self, path: Path, member: Member, sock: socket.socket, unsent: memoryview) -> None:
        self.path = path
        self.member = member
        self.sock = sock
        self.unsent = unsent
        self.data = bytearray()


class Exchange:
    """The connections of one call, in the asking thread."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._peers: dict[int, _Peer] = {}
        self._dying: list[_Peer] = []
        self._poll = select.poll()
        self._poll.register(call.fd, select.POLLIN)

    def send(self, path: Path, member: Member, request: bytes) -> None:
        """Send a request to a member; what does not go through at once goes while one waits."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        peer = _Peer(path, member, sock, memoryview(request))
        try:
            sock.connect(str(path))
        except BlockingIOError:  # so many wait for it already that it must be stopped
            sock.close()
            self._call.give_up(member, missing=True)
            return
        except OSError:  # it ended, or is ending
            self._cut(peer)
            return
        self._peers[sock.fileno()] = peer
        self._poll.register(sock, select.POLLIN)
        self._write(peer)

    @property
    def unsent(self) -> bool:
        """Whether a request has not gone out as a whole."""
        return any(peer.unsent for peer in self._peers.values())

    def wait(self, seconds: float) -> None:
        """Read what comes, until something has come or so many seconds are over."""
        if self._dying:
            seconds = min(seconds, _DYING)
        for fd, event in self._poll.poll(max(seconds, 0.0) * 1000):
            peer = self._peers.get(fd)
            if peer is None:
                continue  # another thread has reported: the caller looks
            if event & select.POLLOUT:
                self._write(peer)
            if event & ~select.POLLOUT and fd in self._peers:
                self._read(peer)
        for peer in list(self._dying):
            if not peer.path.exists() or not peer.member.process.alive:
                self._dying.remove(peer)
                peer.path.unlink(missing_ok=True)
                self._call.give_up(peer.member, missing=False)

    def close(self) -> None:
        """Say which of the silent members have read the request, and hang up."""
        for peer in self._peers.values():
            if not peer.unsent and _was_read(peer.sock):
                with contextlib.suppress(BadMessageError):
                    self._call.answer(peer.member.id, {"working": True})
            peer.sock.close()
        self._peers.clear()

    def _write(self, peer: _Peer) -> None:
        try:
            peer.unsent = peer.unsent[peer.sock.send(peer.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._end(peer)
            return
        self._poll.modify(peer.sock, select.POLLIN | (select.POLLOUT if peer.unsent else 0))

    def _read(self, peer: _Peer) -> None:
        try:
            chunk = peer.sock.recv(_CHUNK)
            peer.data += chunk
            frame = _frame(peer.data)
            if frame is not None:
                self._call.answer(peer.member.id, decode_object(frame))
                self._end(peer, answered=True)
            elif not chunk:
                self._end(peer)
        except BlockingIOError:
            pass
        except (OSError, BadMessageError):
            self._end(peer)

    def _end(self, peer: _Peer, *, answered: bool = False) -> None:
        self._poll.unregister(peer.sock)
        del self._peers[peer.sock.fileno()]
        if answered:
            peer.sock.close()
        else:
            self._cut(peer)

    def _cut(self, peer: _Peer) -> None:
        """Look what became of a member whose connection is cut: dead, gone, or alive and to be named."""
        peer.sock.close()
        if peer.member.id in self._call.waiting:
            self._dying.append(peer)


def _was_read(sock: socket.socket) -> bool:
    """Tell whether the peer has read all that was sent (unix(7): SIOCOUTQ, which is TIOCOUTQ)."""
    try:
        return bytes(4) == fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return False
