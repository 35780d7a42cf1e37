"""Broadcasts between the processes of one service on a host: unix sockets in the private folder of their family.

Each process listens on a socket of its own. Who asks connects to all of them, sends one request to each, and reads the
answer from the same connection; a request that wants no answer is just sent. Each is JSON and a line feed.
The kernel tells a process that was killed (the connection is refused or cut) from one that is stopped (it takes the
connection and says nothing), and whether a silent one has read the request.
"""

import contextlib
import fcntl
import hashlib
import math
import os
import secrets
import select
import selectors
import socket
import termios
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from c2c_broadcast._call import MAX_MESSAGE, BadMessageError, Call, Member, decode_object
from c2c_broadcast.process import Process, family, service_folder, this_process

if TYPE_CHECKING:
    from c2c_broadcast.broadcast import Broadcaster

_LEFT = ".left"
_BACKLOG = 1024
_MOST_CONNECTIONS = 1024
_CHUNK = 1 << 18
_PATIENCE = 5.0  # seconds for a peer to take an answer, or to send the rest of its request
_DYING = 0.02  # a process that was killed is looked at again so soon, until the kernel has ended it
_LONGEST = MAX_MESSAGE + 8192


def state_folder(prefix: str) -> Path:
    """Return the folder that the members of one family and prefix share; OSError where it can't be had."""
    # The prefix may hold anything, and the path of a socket has at most 107 bytes.
    return service_folder(f"b{hashlib.sha256(prefix.encode()).hexdigest()[:12]}")


class Host:
    """This process among those of its family that have the same prefix."""

    def __init__(self, me: Member, prefix: str, owner: "Broadcaster") -> None:
        self._me = me
        self._owner = owner
        self._folder = state_folder(prefix)
        own = this_process().name
        for old in self._folder.glob(f"{own}-*{_LEFT}"):
            old.unlink(missing_ok=True)
        self.path = self._folder / f"{own}-{secrets.token_hex(3)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        temporary = self.path.with_name(f"new-{self.path.name}")
        try:
            self._socket.bind(str(temporary))
            self._socket.listen(_BACKLOG)
            self._selector = selectors.DefaultSelector()  # not by the thread, which could tell nobody that it can't
            temporary.rename(self.path)  # it has its name only once it listens
        except OSError:
            self._socket.close()
            raise
        self._seen: dict[str, tuple[Path, Member]] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="c2c-broadcast-host", daemon=True)

    def start(self) -> None:
        """Begin to listen; RuntimeError where the system has no thread to give."""
        self._thread.start()

    def close(self) -> None:
        """Leave: nobody expects this process any more."""
        self._closing = True
        if not self.listening:  # it was never started: who asks knows of a process that does not listen
            self.path.unlink(missing_ok=True)
            self.abandon()
            return
        with contextlib.suppress(OSError):
            self.path.rename(self.path.with_suffix(_LEFT))
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the listener

    def abandon(self) -> None:
        """In a forked child: close the copies of what is the parent's."""
        self._selector.close()
        self._socket.close()

    @property
    def listening(self) -> bool:
        return self._thread.is_alive()

    def members(self) -> tuple[list[tuple[Path, Member]], list[Member]]:
        """Return the other members, and the workers of this service that have not begun to listen."""
        found, known = {}, {self._me.process}
        for name in {*os.listdir(self._folder)} - {self.path.name}:  # noqa: PTH208 # at each broadcast: a third of the time
            if name in self._seen:  # a name is of one process for good
                found[name] = self._seen[name]
                continue
            with contextlib.suppress(ValueError, OSError):
                process, path = Process.parse(name), self._folder / name
                if not name.endswith(_LEFT):
                    found[name] = path, self._member(name, process, path.stat().st_mtime)
                elif process.alive:
                    known.add(process)
                else:
                    path.unlink()
        self._seen = found
        others = list(found.values())
        known.update(member.process for _, member in others)
        service = family()
        if service.root in known:
            return others, []  # what a member forks for its own purposes is no member
        silent = service.workers({process.pid for process in known})
        return others, [self._member(process.name, process, 0.0) for process in silent]

    def ask(self, exchange: "Exchange", request: bytes) -> None:
        try:
            members, exchange.call.unasked = self.members()
        except OSError:  # no descriptor is free
            members, exchange.call.whole = list(self._seen.values()), False
        exchange.call.expect([member for _, member in members])
        for path, member in members:
            exchange.send(path, member, request)

    def _member(self, name: str, process: Process, started: float) -> Member:
        me = self._me
        return Member(f"host:{name}", me.hostname, process, started, me.application, me.machine, me.family, started)

    # -- the listener's thread, where nothing waits --

    def _serve(self) -> None:
        with self._selector as selector, self._socket:
            selector.register(self._socket, selectors.EVENT_READ)
            closing = False
            while not closing:
                for key, _ in selector.select(_PATIENCE):
                    try:
                        part = _Part(self._socket.accept()[0]) if key.data is None else key.data
                        self._receive(selector, part)
                    except OSError:  # a connection waits for which no descriptor is free: not in a hot loop
                        time.sleep(_DYING)
                closing = self._closing
                now = math.inf if closing else time.monotonic()
                for key in list(selector.get_map().values()) if len(selector.get_map()) > 1 else ():
                    if key.data is not None and key.data.deadline < now:
                        selector.unregister(key.fileobj)
                        key.data.sock.close()

    def _receive(self, selector: selectors.BaseSelector, part: "_Part") -> None:
        """Read some of a request, and hand it over when it is whole."""
        sock, message = part.sock, b""
        try:
            while not message and (chunk := sock.recv(_CHUNK)):
                part.data += chunk
                message = _whole(part.data)
        except BlockingIOError:
            if not part.registered and len(selector.get_map()) < _MOST_CONNECTIONS:
                selector.register(sock, selectors.EVENT_READ, part)
                part.registered = True
            if part.registered:
                return
        except (OSError, BadMessageError):
            pass
        if part.registered:
            selector.unregister(sock)
        request = self._owner.read(message) if message else None
        if request is None:
            sock.close()
        else:
            self._owner.take(request, self._me, partial(_reply, sock))


class _Part:
    """A connection on which a request comes."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.data = bytearray()
        self.registered = False
        self.deadline = time.monotonic() + _PATIENCE


def _whole(data: bytearray) -> bytes:
    """Return a whole message, nothing where some of it is still to come. JSON has no line feed within."""
    if len(data) > _LONGEST:
        raise BadMessageError("a message without an end")
    return bytes(data) if data.endswith(b"\n") else b""


def _reply(sock: socket.socket, text: str) -> None:
    """Send an answer, if there is one, and close; who asked may have gone."""
    with contextlib.suppress(OSError), sock:
        sock.settimeout(_PATIENCE)
        if text:
            sock.sendall(text.encode() + b"\n")


@dataclass(slots=True)
class _Peer:
    """One connection of a call."""

    path: Path
    member: Member
    sock: socket.socket
    unsent: memoryview
    data: bytearray = field(default_factory=bytearray)


class Exchange:
    """The connections of one call, in the asking thread."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._peers: dict[int, _Peer] = {}
        self._dying: list[_Peer] = []
        self._poll = select.poll()
        if call.fd >= 0:
            self._poll.register(call.fd, select.POLLIN)

    def send(self, path: Path, member: Member, request: bytes) -> None:
        """Send a request to a member; what does not go through at once goes while one waits."""
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:  # no descriptor is free
            self.call.give_up(member, missing=True)
            return
        sock.setblocking(False)
        peer = _Peer(path, member, sock, memoryview(request))
        try:
            sock.connect(str(path))
        except BlockingIOError:  # so many wait for it already that it must be stopped
            sock.close()
            self.call.give_up(member, missing=True)
        except OSError:  # it ended, or is ending
            self._cut(peer)
        else:
            self._peers[sock.fileno()] = peer
            self._poll.register(sock, select.POLLIN)
            self._write(peer)

    @property
    def unsent(self) -> bool:
        """Whether a request has not gone out as a whole."""
        return any(peer.unsent for peer in self._peers.values())

    def wait(self, seconds: float) -> None:
        """Read what comes, until something has come or so many seconds are over."""
        if self._dying or self.call.fd < 0:
            seconds = min(seconds, _DYING)
        for fd, event in self._poll.poll(max(seconds, 0.0) * 1000):
            peer = self._peers.get(fd)
            if peer is None:  # another thread has reported: the caller looks
                os.read(fd, _CHUNK)
            if peer is not None and event & select.POLLOUT:
                self._write(peer)
            if peer is not None and event & ~select.POLLOUT and fd in self._peers:
                self._read(peer)
        for peer in list(self._dying):
            if not peer.path.exists() or not peer.member.process.alive:
                self._dying.remove(peer)
                peer.path.unlink(missing_ok=True)
                self.call.give_up(peer.member, missing=False)

    def close(self) -> None:
        """Say which of the silent members have read the request, and hang up."""
        for peer in self._peers.values():
            if not peer.unsent and _was_read(peer.sock):
                self.call.answer(peer.member.id, {"working": True})
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
            message = _whole(peer.data)
            if message:
                self.call.answer(peer.member.id, decode_object(message))
            if message or not chunk:
                self._end(peer)
        except BlockingIOError:
            pass
        except (OSError, BadMessageError):
            self._end(peer)

    def _end(self, peer: _Peer) -> None:
        self._poll.unregister(peer.sock)
        del self._peers[peer.sock.fileno()]
        self._cut(peer)

    def _cut(self, peer: _Peer) -> None:
        """Hang up; look what became of a member that has not answered: dead, gone, or alive and to be named."""
        peer.sock.close()
        if peer.member.id in self.call.waiting:
            self._dying.append(peer)


def _was_read(sock: socket.socket) -> bool:
    """Tell whether the peer has read all that was sent (unix(7): SIOCOUTQ, which is TIOCOUTQ)."""
    try:
        return bytes(4) == fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return False
