"""The pages of the Python profiler: a small application of their own, guarded as operator views are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyramid.config import Configurator, global_registries
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response

from c2c_broadcast import BroadcastSettings, json_error, load
from c2c_debug._flame_graph import CONTROLS, data_block, part
from c2c_debug._markup import Html, tag
from c2c_debug._parameters import bad
from c2c_debug._profile_formats import shortened
from c2c_debug._profiler_folder import Folder
from c2c_debug._profiler_html import button, call_tree, milliseconds, page, table, when
from c2c_debug._profiler_sessions import Session, Sessions
from c2c_debug._profiler_shares import pie, shares

_STATIC = {
    "page.css": "text/css",
    "flame_graph.css": "text/css",
    "flame_graph.js": "text/javascript",
}
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
    # Where the filter alone is given the secret, the application knows no operators.
    if access is not None and access.secret == base.secret:
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
        switch = button(request, "disable" if on else "enable", "Disable profiling" if on else "Enable profiling")
        state = tag("p", "Profiling is ", tag("strong", "enabled" if on else "disabled", class_=f"is-{on}"), ". ")
        return page(
            request,
            "Profiler",
            state,
            switch,
            tag("p", f"Engine: {self._engine}. The newest 200 requests are kept, until the service ends."),
            table(request, found) if found else tag("p", "No request is profiled yet."),
        )

    def session(self, request: Any) -> Any:
        """Show one request: pie, flame graph, call tree."""
        session, tree = self._find(request)
        title = f"{session.method} {session.path}"
        chart = [tag("h2", "Time by package"), pie(shares(tree, self._modules))] if self._modules else []
        tree = shortened(tree)
        data = tag("script", Html(data_block(tree, "seconds")), type="application/json", id="flame-data")
        return page(
            request,
            title,
            tag("p", tag("a", "All requests", href=request.route_path("c2c_profiler_list"))),
            tag("p", f"{when(session)}, {milliseconds(session.duration)}, status {session.status or '?'}"),
            *chart,
            tag("h2", "Flame graph"),
            Html(CONTROLS),
            tag("h2", "Call tree"),
            tag("div", call_tree(tree, tree[1] or 1.0), class_="tree"),
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
