"""An HTTP server that records requests and answers as it is told."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json import dumps
from types import TracebackType
from typing import Any, Self

from c2c_testing.sinks._http_server import HOST, HttpAnswer, HttpRequest, HttpServer
from c2c_testing.sinks._inbox import Inbox


@dataclass(slots=True)
class _Rule:
    """An answer for some requests; ``left`` is how many more, None without end."""

    path: str | None
    method: str | None
    answer: HttpAnswer
    left: int | None

    def takes(self, request: HttpRequest) -> bool:
        return self.path in (None, request.path) and self.method in (None, request.method) and self.left != 0


class HttpSink:
    """An HTTP/1.1 server on 127.0.0.1 that answers 200 without a body unless told otherwise (``answer``).

    ``port`` stays the same over ``stop`` and ``start``.
    """

    host = HOST

    def __init__(self) -> None:
        self.port = 0
        self._received = Inbox[HttpRequest]()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._server: HttpServer | None = None
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
            self._server = HttpServer(self.port, self._handle)
            self.port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="HttpSink").start()

    def stop(self) -> None:
        """Close the port and all connections, as a server that is down; what was received stays."""
        server, self._server = self._server, None
        if server:
            server.close()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of a ``with``."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """End it."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _handle(self, request: HttpRequest) -> HttpAnswer:
        self._received.put(request)
        with self._lock:
            for rule in self._rules:
                if rule.takes(request):
                    if rule.left is not None:
                        rule.left -= 1
                    return rule.answer
        return HttpAnswer()
