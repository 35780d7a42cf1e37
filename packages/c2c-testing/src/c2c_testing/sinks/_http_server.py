"""The HTTP/1.1 server below the sinks: requests and answers as values."""

import contextlib
import math
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from typing import Any
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"


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


class HttpServer(ThreadingHTTPServer):
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
    server: HttpServer
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
