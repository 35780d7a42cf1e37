"""Probes that answer when the service is full: a listener beside its request threads (``C2C_PROBE_ADDRESS``).

The root of the family opens it, and whichever member is free serves it, from memory: a thread a member, which waits for
no client, no check and no other process.
"""

import contextlib
import errno
import json
import logging
import os
import resource
import select
import selectors
import socket
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from c2c_broadcast import broadcast
from c2c_broadcast.process import BusyError, Pool, Worker, at_fork, family
from c2c_health._check import Outcome, SelectionError, State, Verdict, failed
from c2c_health._request_threads import request_threads
from c2c_health._settings import HealthSettings
from c2c_health.gunicorn import linger

_LOG = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds that a client has to ask
_MOST_CLIENTS = 200
_LONGEST_REQUEST = 8_192
_RETRY = 5.0
_EVERY = 4.0  # seconds between the runs of what ready wants to know
_OLDEST = 30.0  # of what is in memory
_FULL = 1_000  # callbacks: as many as the base lets wait
_FEW_DESCRIPTORS = 8
_LITTLE_DISK = 1 << 20

Page = Callable[[], tuple[str, bytes]]
"""A page of the probe address: what it returns is its content type and its body."""
_Answer = tuple[int, str, bytes]


# -- what live says ---------------------------------------------------------------------------------------------------


def look(settings: HealthSettings) -> Iterator[Verdict]:
    """Yield how the parts of this process are, and whether a member is stuck. It asks no other system."""
    yield _verdict("request_threads", _stuck(settings.live_stuck_seconds))
    health = broadcast.health()
    yield _verdict("broadcast_listener", None if health.listening else "the listener's thread is dead")
    full = health.queued >= _FULL
    yield _verdict("broadcast_executor", f"{health.queued:,} callbacks wait for a thread" if full else None)
    yield _verdict("descriptors", _descriptors())
    yield _verdict("disk", _disk(), State.DEGRADED)
    yield _verdict("log", _log(), State.DEGRADED)


def _stuck(limit: float) -> str | None:
    now = time.monotonic()
    stuck = [load for load in request_threads.family() if limit and load.full_for(now) >= limit]
    return (
        "; ".join(
            f"all {load.threads} request threads of process {load.pid} have been in the same requests for "
            f"{load.full_for(now):.0f} s: {load.text}"
            for load in stuck
        )
        or None
    )


def _descriptors() -> str | None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 # names only
    except FileNotFoundError:  # no /proc here
        return None
    except OSError as error:
        return f"no file can be opened: {error.strerror}"
    return f"{opened} of {most} file descriptors are open" if opened > most - _FEW_DESCRIPTORS else None


def _disk() -> str | None:
    try:
        found = os.statvfs(tempfile.gettempdir())
    except OSError as error:
        return f"there is no folder for temporary files: {error.strerror}"
    free = found.f_bavail * found.f_frsize
    return f"{tempfile.gettempdir()} is full ({free:,} bytes are free)" if free < _LITTLE_DISK else None


def _log() -> str | None:
    """Tell whether nobody reads what this process writes: a pipe that is full blocks whoever logs."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, select.POLLOUT)
    ready = {descriptor for descriptor, _ in poll.poll(0)}
    full = [name for descriptor, name in ((1, "stdout"), (2, "stderr")) if descriptor not in ready]
    return f"nobody reads the log: {' and '.join(full)} can't be written to" if full else None


def _verdict(name: str, trouble: str | None, bad: State = State.FAILED) -> Verdict:
    state = bad if trouble else State.PASSED
    return Verdict(name, 1, state, Outcome(state, 0.0, message=trouble), trouble)


def not_ready(settings: HealthSettings, *, stopping: bool) -> Verdict | None:
    """Return why no request should come here now, whatever the checks say; None where nothing speaks against it."""
    if stopping or linger.stopping:
        return failed("shutting_down", "the service was told to stop")
    limit = settings.ready_busy_seconds
    busy = request_threads.all_full_for() if limit else 0.0
    return failed("busy", f"all request threads have been busy for {busy:.1f} s") if limit and busy >= limit else None


# -- the listener -----------------------------------------------------------------------------------------------------


class AddressError(Exception):
    """The probe address can't be had."""


def _open(address: str) -> socket.socket:
    target: Any
    if "/" in address:
        target = address.removeprefix("unix:")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(target)
            except ConnectionRefusedError:  # left behind by a process that was killed
                os.unlink(target)  # noqa: PTH108 # beside the other calls of the system
            except OSError:
                pass
    else:
        host, _, port = address.rpartition(":")
        target = host.strip("[]"), int(port)
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(target)
        listener.listen(1_024)
    except OSError as error:
        listener.close()
        raise AddressError(f"The probe address {address} can't be had: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


class _Client:
    """A connection whose request is still coming."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.deadline = time.monotonic() + _PATIENCE
        self.received = b""

    def read(self) -> bool:
        """Take in what came; tell whether it is enough to answer (or the end)."""
        try:
            data = self.connection.recv(_LONGEST_REQUEST)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.received += data
        return not data or b"\r\n\r\n" in self.received or len(self.received) >= _LONGEST_REQUEST

    def answer(self, page: Callable[[], _Answer], *, head: bool) -> None:
        """Send a page, and close; what fits into the socket's buffer, as reports do, waits for no client."""
        try:
            status, kind, body = page()
        except Exception as error:  # noqa: BLE001 # the boundary of the page: it has an answer, and the log the rest
            _LOG.exception("A page of the probe address failed")
            status, kind, body = _json(500, type(error).__name__)
        header = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Failed'}\r\n"  # noqa: PLR2004 # RFC 9110, 15.3.1
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-cache\r\nConnection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError), self.connection as connection:
            connection.settimeout(_PATIENCE)
            connection.sendall(header.encode() + (b"" if head else body))
            connection.shutdown(socket.SHUT_WR)


class Probes:
    """The probe address of this process and its family."""

    def __init__(self) -> None:
        self.address: str | None = None
        self.wanted = True  # not in a command that runs a service's checks beside it
        self._listener: socket.socket | None = None
        self._applications: weakref.WeakSet[Any] = weakref.WeakSet()
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin without threads, in the child; the listener is the family's."""
        self._pool = Pool("c2c-probe-page", 4, queued=100)
        self._runs = Worker("c2c-probe-checks", self._run_checks)
        self._serving = False

    def open(self, address: str | None) -> None:
        """Open the listener, in the root of the family before it forks. Where it can't be had, members try again."""
        self.address = address
        if address and self._listener is None:
            try:
                self._listener = _open(address)
            except AddressError as error:
                _LOG.warning("%s; tried again every %g s", error, _RETRY)

    def add(self, checks: Any) -> None:
        """Take an application's checks in, and serve, unless this is a master that is about to fork."""
        self.address = self.address or checks.settings.probe_address
        self._applications.add(checks)
        if "gunicorn.arbiter" in sys.modules and family().is_root:
            self.open(self.address)
        else:
            self.serve()

    def serve(self) -> None:
        """Serve in this process, once; where no address is set, not at all."""
        if not self.wanted or not self.address or self._serving or not self._applications:
            return
        self._serving = True
        self._runs.wake()
        threading.Thread(target=self._work, name="c2c-probe", daemon=True).start()

    def _run_checks(self) -> float:
        for checks in tuple(self._applications):
            checks.run_for_probes()
        return _EVERY

    def _work(self) -> None:
        warned = self._listener is not None
        while self._listener is None:
            try:
                self._listener = _open(self.address or "")
            except AddressError as error:
                if not warned:  # a member of this family has it, mostly, and serves it
                    _LOG.info("%s; tried again every %g s", error, _RETRY)
                warned = True
                time.sleep(_RETRY)
        while True:
            try:
                self._serve(self._listener)
            except Exception:  # noqa: BLE001 # the boundary of the thread: a probe that is silent ends the service
                _LOG.exception("The probe address failed; it goes on")
                time.sleep(1)

    def _serve(self, listener: socket.socket) -> None:
        clients: dict[Any, _Client] = {}
        # Given away where no other descriptor is left, so that this can be told.
        spare = os.open(os.devnull, os.O_RDONLY)
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(1.0):
                    if key.fileobj is listener:
                        try:
                            connection, _ = listener.accept()
                        except OSError as error:  # a sibling was quicker, or the client is gone
                            if error.errno in (errno.EMFILE, errno.ENFILE):
                                if spare >= 0:
                                    os.close(spare)
                                else:
                                    time.sleep(0.05)
                                spare = -1
                            continue
                        clients[connection] = _Client(connection)
                        selector.register(connection, selectors.EVENT_READ)
                    elif (client := clients[key.fileobj]).read():
                        selector.unregister(client.connection)
                        del clients[client.connection]
                        self._answer(client)
                now = time.monotonic()
                late = [one for one in clients.values() if now > one.deadline]
                for client in late or list(clients.values())[: max(0, len(clients) - _MOST_CLIENTS)]:
                    selector.unregister(client.connection)
                    del clients[client.connection]
                    client.connection.close()
                if spare < 0 and not clients:
                    with contextlib.suppress(OSError):
                        spare = os.open(os.devnull, os.O_RDONLY)

    def _answer(self, client: _Client) -> None:
        words = client.received.partition(b"\r\n")[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004 # RFC 9112, 3: method, target, version
            client.connection.close()
            return
        method, target, _ = words
        refused = partial(_json, 405, "GET or HEAD")
        in_memory, page = self._page(target) if method in ("GET", "HEAD") else (True, refused)
        answer = partial(client.answer, page, head=method == "HEAD")
        if in_memory:
            answer()
            return
        try:
            self._pool.submit(answer)
        except BusyError as error:
            client.answer(partial(_json, 503, str(error)), head=method == "HEAD")

    def _page(self, target: str) -> tuple[bool, Callable[[], _Answer]]:
        """Return whether a page is made from memory, and what makes it."""
        path, _, words = target.partition("?")
        path, query = path.rstrip("/"), parse_qs(words)
        if path in ("/live", "/livez"):
            return True, partial(self._together, lambda checks: checks.live())
        if path in ("/ready", "/readyz"):
            return True, partial(self._together, lambda checks: checks.not_ready() or checks.remembered(_OLDEST))
        if path == "/health_check" and not query:
            return True, partial(self._together, lambda checks: checks.remembered(_OLDEST))
        if path == "/health_check":
            level, names = query.get("max_level", [None])[0], query.get("checks", [])
            return False, partial(self._together, lambda checks: checks.report(level, names, None))
        pages: dict[str, Page] = {}
        for checks in tuple(self._applications):
            pages = checks.pages | pages
        if path in pages:
            return False, lambda: (200, *pages[path]())
        return True, partial(_json, 404, f"There are {', '.join(['/live', '/ready', '/health_check', *pages])}")

    def _together(self, ask: Callable[[Any], dict[str, Any]]) -> _Answer:
        """Return the reports of all applications of this process as one."""
        together: dict[str, Any] = {"successes": {}, "failures": {}}
        for checks in tuple(self._applications):
            try:
                found = ask(checks)
            except SelectionError as error:
                return _json(400, str(error))
            if "status" in found:
                together["status"] = found["status"]
            for part in ("successes", "failures"):
                together[part] |= found[part]
        return _json(together.get("status", 200), together)


def _json(status: int, content: Any) -> _Answer:
    """Return an answer in JSON: a report, or a message."""
    content = {"status": status, "message": content} if isinstance(content, str) else content
    return status, "application/json", json.dumps(content, indent=2).encode() + b"\n"


probes = Probes()
"""Of the process, as its listener is."""
