"""The tween: from here on, the request is the one that is being handled; its id is echoed on the answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from c2c_logging._context import CURRENT, SOURCES, context_of

if TYPE_CHECKING:
    from c2c_logging._request_id import IdSources


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application."""
    sources: IdSources = registry[SOURCES]
    header, length = sources.header, len(sources.header)

    def tween(request: Any) -> Any:
        context = context_of(request, sources)
        token = CURRENT.set(context)
        try:
            response = handler(request)
        finally:
            CURRENT.reset(token)
        headers = response.headerlist
        # Comparing lengths is cheaper than lower case, and enough to know that it is not there.
        for name, _ in headers:
            if len(name) == length:
                response.headers[header] = context.request_id
                break
        else:
            headers.append((header, context.request_id))
        return response

    return tween
