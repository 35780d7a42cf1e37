"""``GET /metrics``: the text that Prometheus scrapes, in a Pyramid view, and for whatever is not Pyramid."""

import gzip
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

from c2c_stats._scrape import Scrape

_OPENMETRICS = "application/openmetrics-text"
_Headers = list[tuple[str, str]]


def answer(accept: str, accept_encoding: str) -> tuple[bytes, _Headers]:
    """Return the body and the headers of a scrape.

    OpenMetrics is given as version 1.0.0, whatever later one is asked for: later ones have names of any characters.
    """
    wants = any(part.partition(";")[0].strip() == _OPENMETRICS for part in accept.split(","))
    encode: Callable[[Any], bytes] = openmetrics.generate_latest if wants else exposition.generate_latest
    content_type = (
        f"{_OPENMETRICS}; version=1.0.0; charset=utf-8" if wants else "text/plain; version=0.0.4; charset=utf-8"
    )
    body = encode(Scrape(encode))
    headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding"), ("Cache-Control", "no-cache")]
    if exposition.gzip_accepted(accept_encoding):
        body = gzip.compress(body, 1)
        headers.append(("Content-Encoding", "gzip"))
    return body, [*headers, ("Content-Length", str(len(body)))]


def view(request: Any) -> Any:
    """Answer in the Prometheus or OpenMetrics text format, as ``Accept`` says; compressed where that is accepted."""
    from pyramid.response import Response

    environ = request.environ
    body, headers = answer(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
    return Response(app_iter=[body], headerlist=headers)


def metrics_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a scrape as a WSGI application: to be mounted at ``/metrics`` of a service of any framework."""
    if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
        start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
        return []
    body, headers = answer(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
    start_response("200 OK", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
