"""The pages of the Python profiler, guarded as operator views are: a list; one request, as pyinstrument renders it."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pyramid.config import Configurator, global_registries
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response

from c2c_broadcast import include_below, json_error, settings_of
from c2c_debug._parameters import bad
from c2c_debug.profiler.sessions import MOST, Session, Sessions

_LONGEST_ID = 15
_OWN = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; base-uri 'none'"
# pyinstrument's page has its scripts and styles in it; it may be shown within ours.
_ITS = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:"
_PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
:root {{ color-scheme: light dark; }} body {{ font-family: system-ui; margin: 1rem; }} iframe {{ border: 0; }}
table {{ border-collapse: collapse; }} th, td {{ text-align: left; padding: .2rem .6rem; overflow-wrap: anywhere; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
iframe {{ width: 100%; height: 85vh; }} .pie {{ display: flex; gap: 2rem; align-items: center; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""
_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f")


def guarded(path: str, settings: Mapping[str, Any], registry: Any = None) -> Configurator:
    """Return a configurator whose operator views are below ``path``, for everybody where there is no secret.

    It knows the same operators as the application of ``registry``, but none of its routes and views.
    """
    config = Configurator(settings=dict(settings))
    include_below(config, path, registry)
    return config


def made(config: Configurator) -> Any:
    """Return the WSGI application; it is not the one that scripts and shells ask for as the last made."""
    application = config.make_wsgi_app()
    global_registries.remove(config.registry)
    return application


class Pages:
    """The views. ``flag`` is the file that says that requests are profiled."""

    def __init__(self, flag: Path, sessions: Sessions, modules: Sequence[str]) -> None:
        self._flag = flag
        self._sessions = sessions
        self._modules = tuple(modules)

    def add_to(self, config: Configurator) -> None:
        """Add routes and views."""
        public = settings_of(config.registry).secret is None

        def add(view: Any, name: str, path: str, **options: Any) -> None:
            config.add_operator_view(view, name=f"profiler_{name}", path=path, renderer=None, public=public, **options)

        add(self.list, "list", "/")
        add(self.session, "session", "/session/{id}")
        add(self.rendered, "rendered", "/session/{id}/{form:html|speedscope}")
        for view, name in ((self.enable, "enable"), (self.disable, "disable"), (self.delete, "delete")):
            add(view, name, f"/{name}", methods=("POST",), changes_state=True)

    def list(self, request: Any) -> Any:
        """Show whether profiling is enabled, and the profiled requests."""
        on = self._flag.exists()
        rows = "".join(_row(request, one) for one in self._sessions.all())
        table = "<tr><th></th><th>Time</th><th>Duration</th><th>Method</th><th>Path</th><th>Status</th></tr>" + rows
        found = (
            f'<form method="post" action="{request.route_path("c2c_profiler_delete")}"><table>{table}</table>'
            '<p><button>Delete the chosen</button> <button name="all" value="1">Delete all</button></p></form>'
        )
        switch = "disable" if on else "enable"
        body = (
            f"<p>Profiling is <strong>{'enabled' if on else 'disabled'}</strong>. Engine: pyinstrument. "
            f"The newest {MOST} requests are kept, until the service ends.</p>"
            f'<form method="post" action="{request.route_path(f"c2c_profiler_{switch}")}">'
            f"<button>{switch.capitalize()} profiling</button></form>"
        )
        return _page("Profiler", body + (found if rows else "<p>No request is profiled yet.</p>"))

    def session(self, request: Any) -> Any:
        """Show one request: the pie of packages, and pyinstrument's page."""
        from c2c_debug.profiler.pyinstrument_engine import shares

        one, data = self._find(request)
        html, speedscope = (
            request.route_path("c2c_profiler_rendered", id=one.id, form=form) for form in ("html", "speedscope")
        )
        body = (
            f'<p><a href="{request.route_path("c2c_profiler_list")}">All requests</a> '
            f'<a href="{html}">Call tree alone</a> <a href="{speedscope}">For speedscope.app</a></p>'
            f"<p>{one.when}, {_milliseconds(one.duration)}, status {escape(one.status or '?')}</p>"
        )
        body += pie(shares(data, self._modules)) if self._modules else ""
        title = f"{one.method} {one.path}"
        return _page(title, f'{body}<iframe src="{html}" title="call tree and flame graph"></iframe>')

    def rendered(self, request: Any) -> Any:
        """Give one request as pyinstrument renders it."""
        from c2c_debug.profiler import pyinstrument_engine

        _, data = self._find(request)
        if request.matchdict["form"] == "speedscope":
            return Response(pyinstrument_engine.speedscope(data), content_type="application/json", charset="UTF-8")
        return _answer(pyinstrument_engine.html(data), f"{_ITS}; frame-ancestors 'self'")

    def enable(self, request: Any) -> Any:
        """Profile requests from now on, in all processes."""
        self._flag.touch(0o600)
        return HTTPSeeOther(request.route_path("c2c_profiler_list"))

    def disable(self, request: Any) -> Any:
        """Profile no more."""
        self._flag.unlink(missing_ok=True)
        return HTTPSeeOther(request.route_path("c2c_profiler_list"))

    def delete(self, request: Any) -> Any:
        """Delete the requests of the parameters ``id``, or with ``all`` all of them."""
        self._sessions.delete(None if "all" in request.POST else [_number(one) for one in request.POST.getall("id")])
        return HTTPSeeOther(request.route_path("c2c_profiler_list"))

    def _find(self, request: Any) -> tuple[Session, Any]:
        found = self._sessions.get(_number(request.matchdict["id"]))
        if found is None:
            raise json_error(HTTPNotFound, "There is no such request: it was deleted, or newer ones took its place")
        return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_ID:
        raise bad(f"id must be the number of a request, not {text[:50]!r}")
    return int(text)


def _row(request: Any, one: Session) -> str:
    link = request.route_path("c2c_profiler_session", id=one.id)
    return (
        f'<tr><td><input type="checkbox" name="id" value="{one.id}" aria-label="choose {one.id}"></td>'
        f'<td>{one.when}</td><td class="number">{_milliseconds(one.duration)}</td><td>{escape(one.method)}</td>'
        f'<td><a href="{link}">{escape(one.path)}</a></td><td>{escape(one.status)}</td></tr>'
    )


def pie(found: Mapping[str, float]) -> str:
    """Return shares as a pie (SVG) with a table beside it."""
    total = sum(found.values()) or 1.0
    slices, rows, angle = [], [], 0.0
    for number, (name, seconds) in enumerate(found.items()):
        share = seconds / total
        colour = _COLOURS[number % len(_COLOURS)]
        # A slice is a thick arc of a circle of circumference 1: no path to compute.
        slices.append(
            f'<circle r="{0.5 / math.tau:.5f}" fill="none" stroke="{colour}" stroke-width="{1 / math.tau:.5f}"'
            f' pathLength="1" stroke-dasharray="{share:.4f} 1" stroke-dashoffset="{-angle:.4f}"/>'
        )
        angle += share
        rows.append(
            f'<tr><td><svg width="12" height="12"><rect width="12" height="12" fill="{colour}"/></svg></td>'
            f'<td>{escape(name)}</td><td class="number">{_milliseconds(seconds)}</td>'
            f'<td class="number">{share:.1%}</td></tr>'
        )
    box = '<svg viewBox="-.17 -.17 .34 .34" width="200" height="200" role="img" aria-label="time by package">'
    return f'<h2>Time by package</h2><div class="pie">{box}{"".join(slices)}</svg><table>{"".join(rows)}</table></div>'


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _page(title: str, body: str) -> Any:
    return _answer(_PAGE.format(title=escape(title), body=body), f"{_OWN}; frame-ancestors 'none'")


def _answer(html: str, policy: str) -> Any:
    response = Response(html, content_type="text/html", charset="UTF-8")
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
