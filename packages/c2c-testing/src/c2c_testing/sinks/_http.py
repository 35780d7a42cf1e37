"""An HTTP server that records requests and answers as it is told (by pytest-httpserver), and a Sentry server on it."""

import gzip
import logging
import re
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import responses
from json import dumps, loads
from typing import Any

from c2c_testing.sinks._sink import HOST, POLL, Sink

try:
    from pytest_httpserver.httpserver import HTTPServerBase
    from werkzeug import Request, Response, datastructures
except ImportError as _error:
    raise ImportError(f"{_error}: pip install 'c2c-testing[http]'") from _error


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


class _Server(HTTPServerBase):
    """Asks ``handle`` for the answer to each request, in a thread and a connection of its own."""

    def __init__(self, port: int, handle: Callable[[HttpRequest], HttpAnswer]) -> None:
        super().__init__(HOST, port, threaded=True)
        self._handle = handle
        self._closing = threading.Event()
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it would say each request
        self.start()

    def thread_target(self) -> None:
        """Serve; look often whether it is to end."""
        assert self.server
        self.server.serve_forever(POLL)

    def dispatch(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        query, body = dict(request.args.lists()), request.get_data()
        answer = self._handle(HttpRequest(request.method, request.path, query, headers, body))
        if self._closing.wait(min(answer.delay, threading.TIMEOUT_MAX)):
            raise ConnectionError  # by which werkzeug hangs up
        response = Response(answer.body, f"{answer.status} {responses.get(answer.status, 'Unknown')}")
        response.headers = datastructures.Headers(answer.headers)  # and no Content-Type of its own
        return response

    def stop(self) -> None:
        """Listen no more, and hang up where an answer is late."""
        self._closing.set()
        super().stop()


class HttpSink(Sink[HttpRequest]):
    """An HTTP/1.1 server on 127.0.0.1 that answers 200 without a body unless told otherwise (``answer``).

    ``port`` stays the same over ``stop`` and ``start``.
    """

    _key = "path"

    def __init__(self) -> None:
        self._answers: list[tuple[str | None, str | None, HttpAnswer]] = []
        self._server: _Server | None = None
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

    def start(self) -> None:
        """Listen, on the same port as the last time; nothing when it does."""
        self._server = self._server or _Server(self.port, self._handle)
        self.port = self._server.port

    def stop(self) -> None:
        """Close it, as a server that is down, and all its connections; what was received stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

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
