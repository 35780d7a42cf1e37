"""A Sentry server: it takes envelopes over HTTP."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from c2c_testing.sinks._http import HttpAnswer, HttpRequest, HttpSink
from c2c_testing.sinks._sink import Inbox

_KEY = "0123456789abcdef0123456789abcdef"
_PROJECT = 1
_DECODE: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "identity": lambda data: data,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an envelope; ``payload`` is read as JSON for the types that are JSON, else bytes."""

    type: str
    headers: Mapping[str, Any]
    payload: Any


@dataclass(frozen=True, slots=True)
class Envelope:
    """One envelope."""

    headers: Mapping[str, Any]
    items: tuple[Item, ...]


def parse(body: bytes) -> Envelope:
    """Read an envelope (develop.sentry.dev/sdk/data-model/envelopes).

    Raises:
        ValueError: it is not one
    """
    first, _, rest = body.partition(b"\n")
    items = []
    while rest.strip(b"\n"):
        line, _, rest = rest.partition(b"\n")
        headers = json.loads(line)
        if "length" in headers:
            payload, rest = rest[: headers["length"]], rest[headers["length"] :]
            if len(payload) < headers["length"] or (rest and not rest.startswith(b"\n")):
                raise ValueError(f"An item is not as long as it says: {line!r}")
            rest = rest[1:]
        else:
            payload, _, rest = rest.partition(b"\n")
        items.append(
            Item(headers["type"], headers, payload if headers["type"] == "attachment" else json.loads(payload))
        )
    return Envelope(json.loads(first), tuple(items))


class SentrySink(HttpSink):
    """A Sentry server of one project, whose ``dsn`` is for the SDK.

    ``answer(status=429, headers={"Retry-After": "60"})`` limits the rate, ``answer(delay=5)`` is slow and
    ``down()`` away.
    ``errors`` holds what was not an envelope; the fixture fails a test that leaves any.
    """

    def __init__(self) -> None:
        self._envelopes = Inbox[Envelope]()
        self.errors: list[str] = []
        super().__init__()

    @property
    def dsn(self) -> str:
        """The DSN of its one project."""
        return f"http://{_KEY}@{self.host}:{self.port}/{_PROJECT}"

    @property
    def envelopes(self) -> list[Envelope]:
        """What was received, whatever the answer was, oldest first."""
        return self._envelopes.all()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The error events in the envelopes, oldest first."""
        return [event for envelope in self.envelopes for event in _events(envelope)]

    def wait_events(self, count: int = 1, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Wait for ``count`` error events and return all; AssertionError when they do not come in time."""
        envelopes = self._envelopes.wait(lambda envelope: bool(_events(envelope)), count, timeout)
        return [event for envelope in envelopes for event in _events(envelope)]

    def clear(self) -> None:
        """Forget what was received, errors too, and the answers."""
        super().clear()
        self._envelopes.clear()
        self.errors.clear()

    def _handle(self, request: HttpRequest) -> HttpAnswer:
        answer = super()._handle(request)
        if request.method != "POST" or request.path != f"/api/{_PROJECT}/envelope/":
            self.errors.append(f"Not where envelopes go: {request.method} {request.path}")
            return HttpAnswer(404)
        if not re.search(rf"\bsentry_key={_KEY}\b", request.headers.get("x-sentry-auth", "")):
            self.errors.append("Not the project's key in X-Sentry-Auth")
            return HttpAnswer(403)
        try:
            encoding = request.headers.get("content-encoding", "")
            if encoding not in _DECODE:
                raise ValueError(f"Content-Encoding {encoding} is not known here")  # noqa: TRY301 - one place to answer
            self._envelopes.put(parse(_DECODE[encoding](request.body)))
        except (ValueError, KeyError, TypeError, OSError, zlib.error) as error:
            self.errors.append(f"Not an envelope: {error!r}")
            return HttpAnswer(400)
        return answer


def _events(envelope: Envelope) -> list[dict[str, Any]]:
    return [item.payload for item in envelope.items if item.type == "event"]
