"""The spy on requests: each HTTP request that goes out, redirects too, until the headers are back."""

from collections.abc import Callable
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from c2c_stats._api import automatic
from c2c_stats._sink import SINK
from c2c_stats._spies import patch
from c2c_stats._spies.pyramid import METHODS, OTHER

FAILED = 999  # the status of a request without an answer
_PORTS = {"http": 80, "https": 443}


def _timed_send(send: Callable[..., Any]) -> Callable[..., Any]:
    def timed(self: Any, request: Any, *arguments: Any, **keywords: Any) -> Any:
        if not SINK.on:
            return send(self, request, *arguments, **keywords)
        start = perf_counter()
        status = FAILED
        try:
            response = send(self, request, *arguments, **keywords)
            status = response.status_code
        finally:
            _record(request, status, perf_counter() - start)
        return response

    return timed


def _record(request: Any, status: int, seconds: float) -> None:
    try:
        parts = urlsplit(request.url)  # its user part is a secret
        scheme, host = parts.scheme or "_", parts.hostname or "_"
        port = parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        scheme, host, port = "_", "_", 0
    method = request.method if str(request.method) in METHODS else OTHER
    tags = {"scheme": scheme, "host": host, "port": port, "method": method, "status": status}
    automatic("timer", ("requests",), tags).observe(seconds)


def install() -> None:
    """Watch all sessions; nothing where that is done."""
    patch(HTTPAdapter, "send", _timed_send)
