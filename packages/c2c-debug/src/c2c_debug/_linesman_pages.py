"""linesman's own pages, which ask nobody who they are, behind our guard; what they can't cope with is refused."""

import re
from typing import Any
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound

from c2c_broadcast import json_error
from c2c_debug._linesman_engine import Engine
from c2c_debug._parameters import number

# Its scripts and styles stand in its pages.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GRAPH = re.compile(rf"graph/(?:thumb-)?({_UUID})--(\d{{1,15}})\.png")
_PAGE = re.compile(rf"(?:media/[\w./-]+|profiles/{_UUID}|delete(?:/{_UUID}|/all)?|)")
# Of the whole time: with less, a page or picture of a large graph takes longer than anybody waits.
_LEAST_PERCENT = 0.5
_NANOSECONDS = 1e9


class LinesmanPages:
    """The views."""

    def __init__(self, engine: Engine, path: str) -> None:
        self._engine = engine
        self._path = path

    def add_to(self, config: Configurator) -> None:
        """Add the route and view of all pages."""
        public = config.registry["c2c_broadcast.settings"].secret is None
        config.add_operator_view(
            self.page, name="linesman", path="/*rest", renderer=None, public=public, methods=("GET", "POST")
        )

    def page(self, request: Any) -> Any:
        """Have linesman answer."""
        rest = "/".join(request.matchdict["rest"])
        if rest.startswith("delete") or "enable" in request.params or "disable" in request.params:
            _require_same_origin(request)
        graph = _GRAPH.fullmatch(rest)
        if graph is not None:
            self._require_drawable(graph[1], int(graph[2]))
        elif not _PAGE.fullmatch(rest):
            raise json_error(HTTPNotFound, "There is no such page")
        number(request, "cutoff_percent", 5, minimum=_LEAST_PERCENT, maximum=100)
        inner = request.copy()
        inner.path_info = f"{self._path}/{rest}".rstrip("/")
        response = inner.get_response(self._engine.pages)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _require_drawable(self, uuid: str, cutoff: int) -> None:
        session = self._engine.sessions.get(uuid)
        if session is None or cutoff < int(session.duration * _LEAST_PERCENT / 100 * _NANOSECONDS):
            raise json_error(HTTPNotFound, "There is no such picture")
        self._engine.forget_pictures()


def _require_same_origin(request: Any) -> None:
    """Refuse a change that another site makes an operator's browser ask for; linesman's own links change by GET."""
    site = request.headers.get("Sec-Fetch-Site")
    source = request.headers.get("Origin") or request.headers.get("Referer")
    same = site == "same-origin" if site else source is None or urlsplit(source).netloc == request.host
    if not same or (site is None and source is None and request.cookies and not request.headers.get("X-API-Key")):
        raise json_error(HTTPForbidden, "This changes something, and comes from another site: use the profiler's page")
