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
_QUEUE = 1_024
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


def _listen(address: str) -> socket.socket:
    if "/" in address:
        path = address.removeprefix("unix:")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            if client.connect_ex(path) == errno.ECONNREFUSED:  # left behind by a process that was killed
                os.unlink(path)  # noqa: PTH108 # beside the other calls of the system
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            listener.listen(_QUEUE)
        except OSError:
            listener.close()
            raise
    else:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=_QUEUE)
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

    def answer(self, page: Callable[[], _Answer], *, head: bool = False) -> None:
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

    def open(self, address: str | None, level: int = logging.WARNING) -> None:
        """Open the listener, in the root of the family before it forks. Where it can't be had, members try again."""
        self.address = address
        if address and self._listener is None:
            try:
                self._listener = _listen(address)
            except OSError as error:
                reason = f"{address} can't be had: {error.strerror or error}"
                _LOG.log(level, "The probe address %s; tried again every %g s", reason, _RETRY)

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
        level = logging.INFO  # once: a member of this family has it, mostly, and serves it
        while True:
            self.open(self.address, level)
            level = logging.DEBUG
            if self._listener is None:
                time.sleep(_RETRY)
                continue
            try:
                self._serve(self._listener)
            except Exception:  # noqa: BLE001 # the boundary of the thread: a probe that is silent ends the service
                _LOG.exception("The probe address failed; it goes on")
                time.sleep(1)

    def _serve(self, listener: socket.socket) -> None:
        clients: dict[Any, _Client] = {}
        # Given away where no other descriptor is left, so that this can be told.
        spare: int | None = None
        wanted = True
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(1.0):
                    if key.fileobj is listener:
                        try:
                            connection, _ = listener.accept()
                        except OSError as error:  # a sibling was quicker, or the client is gone
                            if error.errno in (errno.EMFILE, errno.ENFILE):
                                if spare is None:  # somebody else took it
                                    time.sleep(0.05)
                                else:
                                    os.close(spare)
                                spare, wanted = None, False
                            continue
                        wanted = True
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
                if spare is None and wanted and not clients:
                    with contextlib.suppress(OSError):
                        spare = os.open(os.devnull, os.O_RDONLY)

    def _answer(self, client: _Client) -> None:
        words = client.received.partition(b"\r\n")[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004 # RFC 9112, 3: method, target, version
            client.connection.close()
            return
        method, target, _ = words
        head = method == "HEAD"
        if method not in ("GET", "HEAD"):
            client.answer(partial(_json, 405, "GET or HEAD"))
            return
        path, _, query = target.partition("?")
        page = self._in_memory(path.rstrip("/")) if not query or path != "/health_check" else None
        if page is not None:
            client.answer(page, head=head)
            return
        try:
            self._pool.submit(partial(client.answer, partial(self._made, path, parse_qs(query)), head=head))
        except BusyError as error:
            client.answer(partial(_json, 503, str(error)), head=head)

    def _in_memory(self, path: str) -> Callable[[], _Answer] | None:
        """Return the page that is made from memory, if this is one."""
        if path in ("/live", "/livez"):
            return partial(self._together, lambda checks: checks.live())
        if path in ("/ready", "/readyz"):
            return partial(self._together, lambda checks: checks.not_ready() or checks.remembered(_OLDEST))
        return partial(self._together, lambda checks: checks.remembered(_OLDEST)) if path == "/health_check" else None

    def _made(self, path: str, query: dict[str, list[str]]) -> _Answer:
        if path == "/health_check":
            level, names = query.get("max_level", [None])[0], query.get("checks", [])
            return self._together(lambda checks: checks.report(level, names, None))
        pages: dict[str, Page] = {}
        for checks in tuple(self._applications):
            pages |= checks.pages
        if path in pages:
            return 200, *pages[path]()
        return _json(404, f"There are {', '.join(['/live', '/ready', '/health_check', *pages])}")

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
