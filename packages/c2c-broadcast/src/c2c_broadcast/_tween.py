"""The base's tween: begin to listen at the first request, and count wrong secrets wherever they were sent."""

from collections.abc import Callable
from typing import Any

from c2c_broadcast import broadcast
from c2c_broadcast._access import access_of


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application."""
    access = access_of(registry)

    def tween(request: Any) -> Any:
        broadcast.start()
        try:
            return handler(request)
        finally:
            if access is not None and access.secret is not None:
                access.count(request)

    return tween
