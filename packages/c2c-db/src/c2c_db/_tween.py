"""The tween that tells sessions which request is being handled."""

from collections.abc import Callable
from typing import Any

from c2c_db._scope import Scope, enter, leave

NAME = "c2c_db._tween.tween_factory"


def tween_factory(handler: Callable[[Any], Any], _registry: Any) -> Callable[[Any], Any]:
    """Keep the request's scope while it is handled. Over pyramid_tm: it sees what the commit left."""

    def tween(request: Any) -> Any:
        scope = Scope(request)
        before = enter(scope)
        try:
            return handler(request)
        finally:
            leave(before)
            if scope.sessions:
                scope.close()

    return tween
