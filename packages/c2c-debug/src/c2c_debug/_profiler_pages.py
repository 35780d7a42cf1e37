"""The pages of the Python profiler: a small application of their own, guarded as operator views are."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyramid.config import Configurator, global_registries
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response

from c2c_broadcast import BroadcastSettings, json_error, load
from c2c_debug._flame_graph import CONTROLS, data_block, part
from c2c_debug._markup import Html, join, tag
from c2c_debug._parameters import bad
from c2c_debug._profile_formats import shortened
from c2c_debug._profiler_folder import Folder
from c2c_debug._profiler_sessions import Session, Sessions
from c2c_debug._profiler_shares import pie, shares

_POLICY = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
_STATIC = {
    "page.css": "text/css",
    "flame_graph.css": "text/css",
    "flame_graph.js": "text/javascript",
}
_SMALLEST_SHOWN = 0.005
_OPEN = 0.2
_LONGEST_ID = 15


def guarded(path: str, settings: Mapping[str, Any], registry: Any = None) -> Configurator:
    """Return a configurator whose operator views are below ``path``, for everybody where there is no secret.

    It knows the same operators as the application of ``registry``, but none of its routes and views.
    """
    config = Configurator(settings=dict(settings))
    base = replace(load(BroadcastSettings, settings), base_path=path)
    # As the base finds them when it is included again: its own are those of the application, below another path.
    config.registry["c2c_broadcast.settings"] = base
    access = None if registry is None else registry.get("c2c_broadcast.access")
    if access is not None:
        config.registry["c2c_broadcast.access"] = access
    config.include("c2c_broadcast")
    return config


def made(config: Configurator) -> Any:
    """Return the WSGI application; it is not the one that scripts and shells ask for as the last made."""
    application = config.make_wsgi_app()
    global_registries.remove(config.registry)
    return application


class Pages:
    """The views. ``engine`` is the name of what profiles."""

    def __init__(self, folder: Folder, sessions: Sessions, modules: Sequence[str], engine: str) -> None:
        self._folder = folder
        self._sessions = sessions
        self._modules = modules
        self._engine = engine

    def add_to(self, config: Configurator) -> None:
        """Add routes and views."""
        public = config.registry["c2c_broadcast.settings"].secret is None

        def add(view: Any, name: str, path: str, **options: Any) -> None:
            config.add_operator_view(view, name=f"profiler_{name}", path=path, renderer=None, public=public, **options)

        add(self.list, "list", "/")
        add(self.session, "session", "/session/{id}")
        add(self.static, "static", "/static/{name}")
        for view, name in ((self.enable, "enable"), (self.disable, "disable"), (self.delete, "delete")):
            add(view, name, f"/{name}", methods=("POST",), changes_state=True)

    def list(self, request: Any) -> Any:
        """Show whether profiling is enabled, and the profiled requests."""
        found = self._sessions.all()
        on = self._folder.enabled()
        switch = _button(request, "disable" if on else "enable", "Disable profiling" if on else "Enable profiling")
        state = tag("p", "Profiling is ", tag("strong", "enabled" if on else "disabled", class_=f"is-{on}"), ". ")
        return _page(
            request,
            "Profiler",
            state,
            switch,
            tag("p", f"Engine: {self._engine}. The newest 200 requests are kept, until the service ends."),
            _table(request, found) if found else tag("p", "No request is profiled yet."),
        )

    def session(self, request: Any) -> Any:
        """Show one request: pie, flame graph, call tree."""
        session, tree = self._find(request)
        title = f"{session.method} {session.path}"
        chart = [tag("h2", "Time by package"), pie(shares(tree, self._modules))] if self._modules else []
        tree = shortened(tree)
        data = tag("script", Html(data_block(tree, "seconds")), type="application/json", id="flame-data")
        return _page(
            request,
            title,
            tag("p", tag("a", "All requests", href=request.route_path("c2c_profiler_list"))),
            tag("p", f"{_when(session)}, {_milliseconds(session.duration)}, status {session.status or '?'}"),
            *chart,
            tag("h2", "Flame graph"),
            Html(CONTROLS),
            tag("h2", "Call tree"),
            tag("div", _node(tree, tree[1] or 1.0), class_="tree"),
            data,
            scripts=("flame_graph.js",),
        )

    def static(self, request: Any) -> Any:
        """Give a style or script."""
        name = request.matchdict["name"]
        if name not in _STATIC:
            raise json_error(HTTPNotFound, "There is no such file")
        return Response(part(name), content_type=_STATIC[name], charset="UTF-8")

    def enable(self, request: Any) -> Any:
        """Profile requests from now on, in all processes."""
        self._folder.enable(on=True)
        return _back(request)

    def disable(self, request: Any) -> Any:
        """Profile no more."""
        self._folder.enable(on=False)
        return _back(request)

    def delete(self, request: Any) -> Any:
        """Delete the requests of the parameters ``id``, or with ``all`` all of them."""
        if "all" in request.POST:
            self._sessions.delete()
        else:
            self._sessions.delete([_number(one) for one in request.POST.getall("id")])
        return _back(request)

    def _find(self, request: Any) -> tuple[Session, Any]:
        found = self._sessions.get(_number(request.matchdict["id"]))
        if found is None:
            raise json_error(HTTPNotFound, "There is no such request: it was deleted, or newer ones took its place")
        return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_ID:
        raise bad(f"id must be the number of a request, not {text[:50]!r}")
    return int(text)


def _back(request: Any) -> Any:
    return HTTPSeeOther(request.route_path("c2c_profiler_list"))


def _button(request: Any, route: str, text: str) -> Html:
    return tag("form", tag("button", text), method="post", action=request.route_path(f"c2c_profiler_{route}"))


def _table(request: Any, found: Sequence[Session]) -> Html:
    head = tag("tr", *(tag("th", one) for one in ("", "Time", "Duration", "Method", "Path", "Status")))
    rows = []
    for one in found:
        link = tag("a", one.path, href=request.route_path("c2c_profiler_session", id=one.id))
        box = tag("input", type="checkbox", name="id", value=one.id, aria_label=f"choose {one.id}")
        duration = tag("td", _milliseconds(one.duration), class_="number")
        cells = (tag("td", box), tag("td", _when(one)), duration, tag("td", one.method), tag("td", link))
        rows.append(tag("tr", *cells, tag("td", one.status)))
    return tag(
        "form",
        tag("table", tag("thead", head), tag("tbody", *rows), class_="sessions"),
        tag("p", tag("button", "Delete the chosen"), " ", tag("button", "Delete all", name="all", value="1")),
        method="post",
        action=request.route_path("c2c_profiler_delete"),
    )


def _node(node: list[Any], whole: float) -> Html:
    text, seconds, children = node
    shown = [child for child in children if child[1] >= whole * _SMALLEST_SHOWN]
    label = join(tag("span", f"{seconds / whole:6.1%} {_milliseconds(seconds)}", class_="number"), " ", text)
    if not shown:
        return tag("div", label, class_="leaf")
    inner = (_node(child, whole) for child in shown)
    return tag("details", tag("summary", label), *inner, open=seconds >= whole * _OPEN)


def _page(request: Any, title: str, *body: Html, scripts: Sequence[str] = ()) -> Any:
    def address(name: str) -> str:
        return str(request.route_path("c2c_profiler_static", name=name))

    styles = (tag("link", rel="stylesheet", href=address(one)) for one in ("page.css", "flame_graph.css"))
    head = tag("head", tag("meta", charset="utf-8"), tag("title", title), *styles)
    ending = (tag("script", src=address(one)) for one in scripts)
    html = tag("html", head, tag("body", tag("h1", title), *body, *ending), lang="en")
    response = Response(f"<!DOCTYPE html>\n{html}", content_type="text/html", charset="UTF-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _when(session: Session) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(session.begun))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
