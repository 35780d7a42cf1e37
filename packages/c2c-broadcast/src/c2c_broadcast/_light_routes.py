"""Routing that asks the routes which can match, in their order, not all of them.

Pyramid tries the pattern of one route after the other. Operators' views come first, so each request of the application
would pay for all of them. Here routes are kept by the first segment of their patterns: ``/c2c/health_check`` is not
tried for ``/ping``. What is matched is the same.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pyramid.interfaces import IRoutesMapper
from pyramid.urldispatch import Route, RoutesMapper

# {name}, :name, *rest
_VARIES = re.compile(r"[{}:*]")


class _Index(NamedTuple):
    """Routes by the first segment that a path must have for them, in their order, and those for any other path."""

    of: list[Route]
    by_segment: dict[str, list[Route]]
    others: list[Route]


class LightRoutesMapper(RoutesMapper):
    """Pyramid's mapper of routes, with an index."""

    _index = _Index([], {}, [])

    def __call__(self, request: Any) -> dict[str, Any]:
        """Return the route and what it matched in the path; None and None where there is none."""
        try:
            path = request.path_info or "/"
        except (KeyError, UnicodeDecodeError):
            return super().__call__(request)  # type: ignore[no-any-return] # as above
        if "\n" in path:  # the end of a pattern may come before it
            return super().__call__(request)  # type: ignore[no-any-return] # as above
        index = self._index
        # Applications may change the list. Lists of the same objects are compared in no time.
        if index.of != self.routelist:
            index = self._index = _index(self.routelist)
        end = path.find("/", 1)
        for route in index.by_segment.get(path[1:end] if end > 0 else path[1:], index.others):
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


def _index(routes: Sequence[Any]) -> _Index:
    by_segment: dict[str, list[Any]] = {}
    others: list[Any] = []
    for route in routes:
        segment = _first_segment(route)
        if segment is None:
            for kept in by_segment.values():
                kept.append(route)
            others.append(route)
        else:
            by_segment.setdefault(segment, others.copy()).append(route)
    return _Index(list(routes), by_segment, others)


def _first_segment(route: Any) -> str | None:
    """Return the first segment that every path has which this route matches; None where it varies."""
    # An application may match in a way of its own, regardless of case for example.
    own = getattr(route.match, "__module__", None) != RoutesMapper.__module__
    if own or isinstance(route.pattern, bytes):
        return None
    first = route.pattern.removeprefix("/").split("/", 1)[0]
    return None if _VARIES.search(first) else first
