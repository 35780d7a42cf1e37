"""The tween: from here on, the request is the one that is being handled; its id is echoed on the answer."""

from collections.abc import Callable
from typing import Any

from c2c_logging._context import CURRENT, SOURCES, context_of


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application."""
    header: str = registry[SOURCES].header

    def tween(request: Any) -> Any:
        context = context_of(request)
        token = CURRENT.set(context)
        try:
            response = handler(request)
        finally:
            CURRENT.reset(token)
        response.headers[header] = context.request_id
        return response

    return tween
