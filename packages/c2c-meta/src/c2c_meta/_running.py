"""The requests in progress of an application: what it is doing this moment."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from pyramid.config import Configurator
from pyramid.tweens import INGRESS

from c2c_broadcast import masker_of

_KEY = "c2c_meta.running"
_MOST = 20
_LONGEST_PATH = 200


def add(config: Configurator) -> None:
    """Keep a note of each request while it is handled."""
    config.registry.setdefault(_KEY, {})
    config.add_tween("c2c_meta._running.tween_factory", under=INGRESS)


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween: two operations on a dict, each atomic in itself."""
    running: dict[int, tuple[float, Any]] = registry[_KEY]

    def tween(request: Any) -> Any:
        key = id(request)
        running[key] = (monotonic(), request)
        try:
            return handler(request)
        finally:
            running.pop(key, None)

    return tween


def running(registry: Any) -> list[dict[str, Any]]:
    """Return the requests in progress, the oldest first: method, path (masked), route, request id, seconds."""
    now, masked = monotonic(), masker_of(registry)
    found = sorted(registry[_KEY].values(), key=lambda one: one[0])
    return [
        {
            "method": request.environ.get("REQUEST_METHOD", ""),
            "path": masked(path_of(request)),
            "route": getattr(getattr(request, "matched_route", None), "name", None),
            "request_id": getattr(request, "c2c_request_id", None),
            "seconds": round(now - begun, 3),
        }
        for begun, request in found[:_MOST]
    ]


def path_of(request: Any) -> str:
    """Return a request's path without its query, whatever bytes it has."""
    environ = request.environ
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    # WSGI hands paths over as latin-1 (PEP 3333).
    return path.encode("latin-1", "replace").decode("utf-8", "replace")[:_LONGEST_PATH]
