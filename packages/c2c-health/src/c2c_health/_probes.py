"""Probes that answer when the service is full: a listener beside its request threads (``C2C_PROBE_ADDRESS``).

The root of the family opens it, and whichever member is free serves it, from memory, in threads of its own: none waits
for another client, for a check or for another process. A process whose request threads are all busy writes so into a
file in the family's folder, for the other members to tell. They read it also while that process is stopped, or runs C
code that holds the interpreter.
"""

import contextlib
import errno
import itertools
import json
import logging
import os
import resource
import select
import socket
import socketserver
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from c2c_broadcast import broadcast, mask
from c2c_broadcast.process import (
    BusyError,
    Pool,
    Process,
    Worker,
    at_exit,
    at_fork,
    family,
    service_folder,
    temporary_folder,
    this_process,
)
from c2c_broadcast.settings import warn_once
from c2c_health._check import SelectionError, State, Verdict
from c2c_health._settings import HealthSettings

_LOG = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds that a client has to ask, and to take the answer
_MOST_CLIENTS = 400
_RETRY = 5.0
_QUEUE = 1_024
_EVERY = 4.0  # seconds between the runs of what ready wants to know
_FULL = 1_000  # callbacks: as many as the base lets wait
_FEW_DESCRIPTORS = 8
_LITTLE_DISK = 1 << 20
_TEXT, _FILE = 1_000, 5_000  # characters, and bytes for them, at most
_FOLDER = "health"
# Of struct tcp_info (linux/tcp.h): of a socket that listens, tcpi_unacked is how many connections wait.
_TCP_INFO_SIZE, _WAITING = 104, slice(24, 28)
_LONGEST_QUEUE = 3_600.0

Page = Callable[[], tuple[str, bytes]]
"""A page of the probe address: what it returns is its content type and its body."""
_Answer = tuple[int, str, bytes]


# -- the threads that serve requests -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """The request threads of one process. ``full_since`` is by the monotonic clock, None where one is free.

    ``threads`` is None where the server does not tell; ``text`` names the requests of a process that is full.
    """

    pid: int
    threads: int | None
    busy: int
    full_since: float | None
    text: str = ""

    def full_for(self, now: float) -> float:
        """Return for how many seconds all threads have been busy."""
        return now - self.full_since if self.full_since is not None else 0.0


class RequestThreads:
    """Those of this process. Of each request it costs two operations on a dict, each atomic in itself."""

    def __init__(self) -> None:
        self.known: int | None = None  # how many threads the server has, where it tells
        self.listeners: list[Any] = []  # the sockets on which it listens
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin idle, with a file of its own, in the child."""
        self._lock = threading.Lock()
        self._turns, self._told = itertools.count(1), 0
        self._begun: dict[int, tuple[float, Any]] = {}
        self._full_since: float | None = None
        self._text = ""
        self._file: int | None = None
        self._path: Any = None

    def begin(self, request: Any) -> tuple[float, Any]:
        """Note that a thread is busy with a request; ``end`` wants what this returns."""
        one = (time.monotonic(), request)
        self._begun[id(one)] = one
        if self.known is not None and len(self._begun) >= self.known:
            self.tell()
        return one

    def end(self, one: tuple[float, Any]) -> None:
        """Note that the thread is free."""
        self._begun.pop(id(one), None)
        if self._full_since is not None:
            self.tell()

    def load(self) -> Load:
        """Return how this process is."""
        return Load(os.getpid(), self.known, len(self._begun), self._full_since, self._text)

    def family(self) -> Iterator[Load]:
        """Yield how this process is, and each other one of its family that has told."""
        yield self.load()
        with contextlib.suppress(OSError):
            for path in service_folder(_FOLDER).iterdir():
                process = Process.parse(path.name)
                if process.pid == os.getpid():
                    continue
                if not process.alive:
                    path.unlink(missing_ok=True)
                    continue
                with contextlib.suppress(ValueError, TypeError):  # it is just being written
                    yield Load(process.pid, *json.loads(path.read_bytes()))

    def all_full_for(self) -> float:
        """Return for how many seconds all threads of all members have been busy; 0 where one is free."""
        now = time.monotonic()
        by_pid = {load.pid: load.full_for(now) for load in self.family()}
        members = {process.pid for process in family().workers()} or {os.getpid()}
        return min((by_pid.get(pid, 0.0) for pid in members), default=0.0)

    def backlog(self) -> int | None:
        """Return how many connections wait to be accepted, by the kernel; None where that is not known."""
        waiting = []
        for listener in self.listeners:
            with contextlib.suppress(OSError, AttributeError):
                info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
                waiting.append(int.from_bytes(info[_WAITING], sys.byteorder))
        return sum(waiting) if waiting else None

    def at_exit(self) -> None:
        """Remove this process's file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def tell(self) -> None:
        """Write down how this process is, for the others: at once when it becomes full, now and then else."""
        # Of threads that come and go at once, who looked last is right; and who ends meanwhile looks, too.
        turn = next(self._turns)
        if self._full_since is None:
            self._full_since = time.monotonic()
        if self.known is None and "waitress" in sys.modules:
            self.known = sum(thread.name.startswith("waitress") for thread in threading.enumerate()) or None
        known = self.known
        begun = sorted(self._begun.copy().values(), key=lambda one: one[0])
        full = known is not None and len(begun) >= known
        text = ", ".join(map(_shown, (request for _, request in begun)))[:_TEXT] if full else ""
        if self._file is None:
            with contextlib.suppress(OSError):
                self._path = service_folder(_FOLDER) / this_process().name
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                at_exit(self)
        with self._lock:
            if turn < self._told:
                return
            self._told = turn
            # Since the youngest of them began, no thread has been free.
            self._full_since, self._text = begun[-1][0] if full else None, text
            if self._file is not None:
                with contextlib.suppress(OSError):  # the disk is full
                    row = json.dumps([known, len(begun), self._full_since, text], ensure_ascii=False)
                    os.pwrite(self._file, row.encode("utf-8", "replace").ljust(_FILE), 0)


def _shown(request: Any) -> str:
    environ = request.environ
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))[:200]
    path = path.encode("latin-1", "replace").decode("utf-8", "replace")  # WSGI hands paths over as latin-1 (PEP 3333)
    request_id = getattr(request, "c2c_request_id", None)
    text = f"{environ.get('REQUEST_METHOD', '')} {path}" + (f" (id {request_id})" if request_id else "")
    return mask("".join(letter if letter.isprintable() else "?" for letter in text))


request_threads = RequestThreads()
"""Of the process, as threads are."""


def queue_time(began: str, now: float) -> float | None:
    """Return the seconds since ``X-Request-Start``: seconds, milli- or microseconds since the epoch, ``t=`` before it.

    None where it is no time, or one that can't be.
    """
    try:
        start = float(began[:40].strip().removeprefix("t="))
    except ValueError:
        return None
    for _ in range(2):
        if start > now * 100:
            start /= 1_000
    waited = now - start
    return max(waited, 0.0) if -1.0 < waited < _LONGEST_QUEUE else None


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
    stuck = [
        f"all {load.threads} request threads of process {load.pid} have been in the same requests for "
        f"{load.full_for(now):.0f} s: {load.text}"
        for load in request_threads.family()
        if limit and load.full_for(now) >= limit
    ]
    return "; ".join(stuck) or None


def _descriptors() -> str | None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 # names only
    except OSError as error:
        return None if error.errno == errno.ENOENT else f"no file can be opened: {error.strerror}"  # or no /proc here
    return f"{opened} of {most} file descriptors are open" if opened > most - _FEW_DESCRIPTORS else None


def _disk() -> str | None:
    folder = temporary_folder()
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"there is no folder for temporary files: {error.strerror}"
    free = found.f_bavail * found.f_frsize
    return f"{folder} is full ({free:,} bytes are free)" if free < _LITTLE_DISK else None


def _log() -> str | None:
    """Tell whether nobody reads what this process writes: a pipe that is full blocks whoever logs."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, select.POLLOUT)
    ready = {descriptor for descriptor, _ in poll.poll(0)}
    full = [name for descriptor, name in ((1, "stdout"), (2, "stderr")) if descriptor not in ready]
    return f"nobody reads the log: {' and '.join(full)} can't be written to" if full else None


def _verdict(name: str, trouble: str | None, bad: State = State.FAILED) -> Verdict:
    return Verdict(name, 1, bad if trouble else State.PASSED, trouble)


# -- the listener -----------------------------------------------------------------------------------------------------


def _listen(address: str) -> socket.socket:
    if "/" not in address:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=_QUEUE)
    else:
        path = address.removeprefix("unix:")
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(path) == errno.ECONNREFUSED:  # left behind by a process that was killed
                os.unlink(path)  # noqa: PTH108 # beside the other calls of the system
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(path)
        except OSError:
            listener.close()
            raise
        listener.listen(_QUEUE)
    listener.setblocking(False)
    return listener


class _Handler(BaseHTTPRequestHandler):
    """The one request of a client, which has some seconds to ask."""

    timeout = _PATIENCE
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # as http.server wants it named
        path, _, query = self.path.partition("?")
        try:
            answer = probes.page(path.rstrip("/"), query)
        except Exception as error:  # noqa: BLE001 # the boundary of the page: it has an answer, and the log the rest
            _LOG.exception("A page of the probe address failed")
            answer = _json(500, type(error).__name__)
        self._answer(*answer)

    do_HEAD = do_GET  # noqa: N815 # as above

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        code = 405 if code == HTTPStatus.NOT_IMPLEMENTED else code  # of the method
        self._answer(*_json(code, message or explain or "it is no request"))

    def log_message(self, *_: Any) -> None:
        """Say nothing of a probe."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response_only(status)
        for name, value in (("Content-Type", kind), ("Cache-Control", "no-cache"), ("Connection", "close")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(socketserver.TCPServer):
    """Serves the family's listener in this process, each client in a thread: none keeps another one waiting."""

    def __init__(self, listener: socket.socket) -> None:
        socketserver.BaseServer.__init__(self, listener.getsockname(), _Handler)
        self.socket = listener
        self._pool = Pool("c2c-probe-client", _MOST_CLIENTS, queued=_MOST_CLIENTS)
        self._begun: dict[Any, float] = {}  # since when clients are served
        self._spare: int | None = None  # given away where no other descriptor is left, so that this can be told

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return self.socket.accept()
        except OSError as error:  # a sibling was quicker, or the client is gone
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            if self._spare is None:  # somebody else took it
                time.sleep(0.05)
                raise
            os.close(self._spare)
            self._spare = None
            return self.socket.accept()

    def service_actions(self) -> None:
        for request in [one for one, begun in self._begun.copy().items() if time.monotonic() - begun > _PATIENCE]:
            with contextlib.suppress(OSError):  # ``timeout`` is for each byte
                request.shutdown(socket.SHUT_RDWR)
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            self._pool.submit(partial(self._serve, request, client_address))
        except BusyError:
            self.shutdown_request(request)

    def _serve(self, request: Any, client_address: Any) -> None:
        self._begun[request] = time.monotonic()
        try:
            with contextlib.suppress(OSError):  # the client is gone, or slow
                self.finish_request(request, client_address)
        finally:
            del self._begun[request]
            self.shutdown_request(request)


class Probes:
    """The probe address of this process and its family."""

    def __init__(self) -> None:
        self.address: str | None = None
        self.wanted = True  # not in a command that runs a service's checks beside it
        self._listener: socket.socket | None = None
        self._applications: weakref.WeakSet[Any] = weakref.WeakSet()
        self._runs = Worker("c2c-probe-checks", self._run_checks)
        self._server = Worker("c2c-probe", self._serve, retry=1.0)

    def open(self, address: str | None) -> None:
        """Open the listener, in the root of the family before it forks. Where it can't be had, members try again."""
        self.address = address
        if address and self._listener is None:
            try:
                self._listener = _listen(address)
            except OSError as error:
                said = "The probe address %s can't be had: %s; tried again every %g s"
                warn_once(_LOG, said, address, error.strerror or error, _RETRY)

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
        if not self.wanted or not self.address or self._server.running or not self._applications:
            return
        if not (self._runs.wake() and self._server.wake()):
            warn_once(_LOG, "The probe address %s is not served: the system has no thread to give", self.address)

    def _run_checks(self) -> float:
        for checks in tuple(self._applications):
            checks.run_for_probes()
        return _EVERY

    def _serve(self) -> float:
        self.open(self.address)
        if self._listener is not None:
            _Server(self._listener).serve_forever(1.0)
        return _RETRY

    def page(self, path: str, query: str) -> _Answer:
        """Return a page: from memory, but for ``/health_check`` with parameters and the pages of others."""
        if path in ("/live", "/livez"):
            return self._together(lambda checks: checks.live())
        if path in ("/ready", "/readyz"):
            return self._together(lambda checks: checks.not_ready() or checks.remembered())
        if path == "/health_check":
            asked = parse_qs(query)
            level, names = asked.get("max_level", [None])[0], asked.get("checks", ())
            return self._together(lambda one: one.report(level, names) if query else one.remembered())
        pages = {path: page for checks in tuple(self._applications) for path, page in checks.pages.items()}
        if path in pages:
            return 200, *pages[path]()
        return _json(404, f"There are {', '.join(['/live', '/ready', '/health_check', *pages])}")

    def _together(self, ask: Callable[[Any], dict[str, Any]]) -> _Answer:
        """Return the reports of all applications of this process as one."""
        try:
            reports = [ask(checks) for checks in tuple(self._applications)]
        except SelectionError as error:
            return _json(400, str(error))
        together: dict[str, Any] = {"successes": {}, "failures": {}}
        for report in reports:
            together |= report | {part: together[part] | report[part] for part in ("successes", "failures")}
        return _json(together.get("status", 200), together)


def _json(status: int, content: Any) -> _Answer:
    """Return an answer in JSON: a report, or a message."""
    content = {"status": status, "message": content} if isinstance(content, str) else content
    return status, "application/json", json.dumps(content, indent=2).encode() + b"\n"


probes = Probes()
"""Of the process, as its listener is."""
