"""The base's tween: begin to listen at the first request, and count wrong secrets wherever they were sent."""

import contextlib
from collections.abc import Callable
from typing import Any

from c2c_broadcast._access import access_of
from c2c_broadcast.broadcast import get_broadcaster


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application."""
    access = access_of(registry)
    # Without a secret there is nothing to count.
    count = access.count if access is not None and access.secret is not None else None

    def tween(request: Any) -> Any:
        broadcaster = get_broadcaster()
        if not broadcaster.started:
            # Where the system has no thread to give, the request goes on, and the next one tries again.
            with contextlib.suppress(RuntimeError):
                broadcaster.start()
        try:
            return handler(request)
        finally:
            if count is not None:
                count(request)

    return tween
