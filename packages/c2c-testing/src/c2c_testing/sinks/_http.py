"""An HTTP server that records requests and answers as it is told, and a Sentry server on top of it."""

import gzip
import math
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from json import dumps, loads
from typing import Any
from urllib.parse import parse_qs, urlsplit

from c2c_testing.sinks._sink import HOST, Sink, StreamServer


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


@dataclass(slots=True)
class HttpAnswer:
    """What to answer, after ``delay`` seconds (``math.inf``: never), so many ``times`` (None: without end)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    times: int | None = None


class _Server(StreamServer):
    """Asks ``handle`` for the answer to each request."""

    def __init__(self, port: int, handle: Callable[[HttpRequest], HttpAnswer]) -> None:
        self.handle = handle
        self.closing = threading.Event()
        super().__init__((HOST, port), _Handler)

    def server_close(self) -> None:
        """Give up waiting for the time to answer, too."""
        self.closing.set()
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

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


class HttpSink(Sink[HttpRequest]):
    """An HTTP/1.1 server on 127.0.0.1 that answers 200 without a body unless told otherwise (``answer``).

    ``port`` stays the same over ``stop`` and ``start``.
    """

    _key = "path"

    def __init__(self) -> None:
        self._answers: list[tuple[str | None, str | None, HttpAnswer]] = []
        super().__init__()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def requests(self) -> list[HttpRequest]:
        """What was received, oldest first."""
        return self._all()

    def answer(
        self,
        path: str | None = None,
        *,
        method: str | None = None,
        body: bytes | str = b"",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Say what to answer to a path (None: any) and method (None: any): ``status``, ``delay``, ``times`` as well.

        What is said last goes first; when its ``times`` are used up, what was said before holds again.
        """
        given = dict(headers or {})
        if json is not None:
            body = dumps(json)
            given.setdefault("Content-Type", "application/json")
        data = body.encode() if isinstance(body, str) else body
        with self._changed:
            self._answers.insert(0, (path, method, HttpAnswer(body=data, headers=given, **options)))

    def clear(self) -> None:
        """Forget the requests, errors and answers."""
        super().clear()
        self._answers.clear()

    def _listen(self) -> Iterator[_Server]:
        server = _Server(self.port, self._handle)
        self.port = server.server_address[1]
        yield server

    def _handle(self, request: HttpRequest) -> HttpAnswer:
        self._put(request)
        with self._changed:
            for path, method, answer in self._answers:
                if path in (None, request.path) and method in (None, request.method) and answer.times != 0:
                    if answer.times is not None:
                        answer.times -= 1
                    return answer
        return HttpAnswer()


_KEY = "0123456789abcdef0123456789abcdef"
_PROJECT = 1
_DECODE: Mapping[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.decompress}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an envelope; ``payload`` is read as JSON for the types that are JSON, else bytes."""

    type: str
    headers: Mapping[str, Any]
    payload: Any


@dataclass(frozen=True, slots=True)
class Envelope:
    headers: Mapping[str, Any]
    items: tuple[Item, ...]


def parse(body: bytes) -> Envelope:
    """Read an envelope (develop.sentry.dev/sdk/data-model/envelopes); ValueError, KeyError where it is none."""
    first, _, rest = body.partition(b"\n")
    items = []
    while rest.strip(b"\n"):
        line, _, rest = rest.partition(b"\n")
        headers = loads(line)
        if "length" in headers:
            payload, rest = rest[: headers["length"]], rest[headers["length"] :]
            if len(payload) < headers["length"] or (rest and not rest.startswith(b"\n")):
                raise ValueError(f"An item is not as long as it says: {line!r}")
            rest = rest[1:]
        else:
            payload, _, rest = rest.partition(b"\n")
        items.append(Item(headers["type"], headers, payload if headers["type"] == "attachment" else loads(payload)))
    return Envelope(loads(first), tuple(items))


class SentrySink(HttpSink):
    """A Sentry server of one project, whose ``dsn`` is for the SDK.

    ``answer(status=429, headers={"Retry-After": "60"})`` limits the rate, ``answer(delay=5)`` is slow and
    ``down()`` away. ``errors`` holds what was not an envelope.
    """

    def __init__(self) -> None:
        #: What was received, whatever the answer was, oldest first.
        self.envelopes: list[Envelope] = []
        super().__init__()

    @property
    def dsn(self) -> str:
        """The DSN of its one project."""
        return f"http://{_KEY}@{self.host}:{self.port}/{_PROJECT}"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The error events in the envelopes, oldest first."""
        return [item.payload for envelope in self.envelopes for item in envelope.items if item.type == "event"]

    def wait_events(self, count: int = 1, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Wait for ``count`` error events and return all; AssertionError when they do not come in time."""
        return self._wait(lambda: self.events, count, timeout)

    def clear(self) -> None:
        """Forget what was received, errors too, and the answers."""
        super().clear()
        self.envelopes.clear()

    def _handle(self, request: HttpRequest) -> HttpAnswer:
        answer = super()._handle(request)
        if request.method != "POST" or request.path != f"/api/{_PROJECT}/envelope/":
            self.errors.append(f"Not where envelopes go: {request.method} {request.path}")
            return HttpAnswer(404)
        if not re.search(rf"\bsentry_key={_KEY}\b", request.headers.get("x-sentry-auth", "")):
            self.errors.append("Not the project's key in X-Sentry-Auth")
            return HttpAnswer(403)
        try:
            envelope = parse(_DECODE[request.headers.get("content-encoding", "")](request.body))
        except (ValueError, KeyError, TypeError, OSError, zlib.error) as error:
            self.errors.append(f"Not an envelope: {error!r}")
            return HttpAnswer(400)
        with self._changed:
            self.envelopes.append(envelope)
            self._changed.notify_all()
        return answer
