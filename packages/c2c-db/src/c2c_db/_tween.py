"""The tween that tells sessions which request is being handled, and clients what they wrote."""

from collections.abc import Callable
from typing import Any

from c2c_db._application import application_of
from c2c_db._scope import Scope, enter, leave

NAME = "c2c_db._tween.tween_factory"


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Keep the request's scope while it is handled. Over pyramid_tm: it sees what the commit left."""
    application = application_of(registry)

    def tween(request: Any) -> Any:
        scope = Scope(request)
        before = enter(scope)
        try:
            response = handler(request)
            if scope.marks:
                application.tokens.try_on_response(request, response, scope.marks)
        finally:
            leave(before)
            if scope.sessions:
                scope.close()
        return response

    return tween
