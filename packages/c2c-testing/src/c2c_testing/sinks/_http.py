"""An HTTP server that records requests and answers as it is told."""

import contextlib
import math
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from typing import Any
from urllib.parse import parse_qs, urlsplit

from c2c_testing.sinks._sink import HOST, Inbox, Sink


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are in lower case, ``query`` is name -> values."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON."""
        return loads(self.body)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What to answer, after ``delay`` seconds; ``math.inf`` never does."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


class _Server(ThreadingHTTPServer):
    """Asks ``handle`` for the answer to each request, in a thread for each connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, handle: Callable[[HttpRequest], HttpAnswer]) -> None:
        self.handle = handle
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)

    def close(self) -> None:
        """Close the port and all connections, those that wait for an answer too."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gives up is what tests do."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing on stderr."""

    def handle_one_request(self) -> None:
        # In place of one do_ method for each HTTP method.
        self.raw_requestline = self.rfile.readline(1 << 16)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(url.query, keep_blank_values=True)
        answer = self.server.handle(HttpRequest(self.command, url.path, query, headers, self._body()))
        if answer.delay and self.server.closing.wait(None if math.isinf(answer.delay) else answer.delay):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else answer.body)
        self.wfile.flush()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):  # RFC 9112, 7.1
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body


@dataclass(slots=True)
class _Rule:
    """An answer for some requests; ``left`` is how many more, None without end."""

    path: str | None
    method: str | None
    answer: HttpAnswer
    left: int | None

    def takes(self, request: HttpRequest) -> bool:
        return self.path in (None, request.path) and self.method in (None, request.method) and self.left != 0


class HttpSink(Sink):
    """An HTTP/1.1 server on 127.0.0.1 that answers 200 without a body unless told otherwise (``answer``).

    ``port`` stays the same over ``stop`` and ``start``.
    """

    def __init__(self) -> None:
        self.port = 0
        self._received = Inbox[HttpRequest]()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def requests(self) -> list[HttpRequest]:
        """What was received, oldest first."""
        return self._received.all()

    def answer(
        self,
        path: str | None = None,
        *,
        method: str | None = None,
        status: int = 200,
        body: bytes | str = b"",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        times: int | None = None,
    ) -> None:
        """Say what to answer to a path (None: any) and method (None: any).

        What is said last goes first; when its ``times`` are used up, what was said before holds again.
        """
        given = dict(headers or {})
        if json is not None:
            body = dumps(json)
            given.setdefault("Content-Type", "application/json")
        data = body.encode() if isinstance(body, str) else body
        with self._lock:
            self._rules.insert(0, _Rule(path, method, HttpAnswer(status, data, given, delay), times))

    def wait(
        self, what: str | Callable[[HttpRequest], bool] = lambda _: True, count: int = 1, timeout: float = 30.0
    ) -> list[HttpRequest]:
        """Wait for ``count`` requests, of a path or that a function likes, and return all such; else AssertionError."""
        wanted = what
        match = (lambda request: request.path == wanted) if isinstance(wanted, str) else wanted
        return self._received.wait(match, count, timeout)

    def clear(self) -> None:
        """Forget the requests and the answers."""
        self._received.clear()
        with self._lock:
            self._rules.clear()

    def start(self) -> None:
        """Listen; nothing when it does."""
        if self._server is None:
            self._server = _Server(self.port, self._handle)
            self.port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="HttpSink").start()

    def stop(self) -> None:
        """Close the port and all connections, as a server that is down; what was received stays."""
        server, self._server = self._server, None
        if server:
            server.close()

    def _handle(self, request: HttpRequest) -> HttpAnswer:
        self._received.put(request)
        with self._lock:
            for rule in self._rules:
                if rule.takes(request):
                    if rule.left is not None:
                        rule.left -= 1
                    return rule.answer
        return HttpAnswer()
