"""Routing that asks the routes which can match, in their order, not all of them.

Pyramid tries the pattern of one route after the other. Operators' views come first, so each request of the application
would pay for all of them. Here routes are kept by the first segment of their patterns: ``/c2c/health_check`` is not
tried for ``/ping``. What is matched is the same.
"""

import re
from typing import Any

from pyramid.interfaces import IRoutesMapper
from pyramid.urldispatch import RoutesMapper

# {name}, :name, *rest
_VARIES = re.compile(r"[{}:*]")


class LightRoutesMapper(RoutesMapper):
    """Pyramid's mapper of routes, with an index."""

    def index(self) -> None:
        """Sort the routes by what paths can match them, keeping their order."""
        fixed = [_first_segment(route.pattern) for route in self.routelist]
        self._others = [route for route, segment in zip(self.routelist, fixed, strict=True) if segment is None]
        self._by_segment = {
            one: [route for route, segment in zip(self.routelist, fixed, strict=True) if segment in {None, one}]
            for one in fixed
        }

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Add a route."""
        route = super().connect(*args, **kwargs)
        self.index()
        return route

    def __call__(self, request: Any) -> dict[str, Any]:
        """Return the route and what it matched in the path; None and None where there is none."""
        try:
            path = request.path_info or "/"
        except (KeyError, UnicodeDecodeError):
            return super().__call__(request)  # type: ignore[no-any-return] # as above
        if "\n" in path:  # the end of a pattern may come before it
            return super().__call__(request)  # type: ignore[no-any-return] # as above
        end = path.find("/", 1)
        for route in self._by_segment.get(path[1:end] if end > 0 else path[1:], self._others):
            match = route.match(path)
            if match is not None:
                found = {"match": match, "route": route}
                if all(predicate(found, request) for predicate in route.predicates):
                    return found
        return {"route": None, "match": None}


def lighten_routes(registry: Any) -> None:
    """Give the application's mapper an index, unless it is one of its own."""
    mapper = registry.queryUtility(IRoutesMapper)
    if type(mapper) is RoutesMapper:
        mapper.__class__ = LightRoutesMapper
        mapper.index()


def _first_segment(pattern: str | bytes) -> str | None:
    """Return the first segment that every path has which this pattern matches; None where it varies."""
    if isinstance(pattern, bytes):  # as Pyramid 1 wrote them
        return None
    first = pattern.removeprefix("/").split("/", 1)[0]
    return None if _VARIES.search(first) else first
