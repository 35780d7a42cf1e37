"""What the pages of the Python profiler are made of."""

import time
from collections.abc import Sequence
from typing import Any

from pyramid.response import Response

from c2c_debug._markup import Html, join, tag
from c2c_debug._profiler_sessions import Session

_POLICY = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
_SMALLEST_SHOWN = 0.005
_OPEN = 0.2


def button(request: Any, route: str, text: str) -> Html:
    """Return a button that changes something."""
    return tag("form", tag("button", text), method="post", action=request.route_path(f"c2c_profiler_{route}"))


def table(request: Any, found: Sequence[Session]) -> Html:
    """Return the table of profiled requests, with boxes to choose those to delete."""
    head = tag("tr", *(tag("th", one) for one in ("", "Time", "Duration", "Method", "Path", "Status")))
    rows = []
    for one in found:
        link = tag("a", one.path, href=request.route_path("c2c_profiler_session", id=one.id))
        box = tag("input", type="checkbox", name="id", value=one.id, aria_label=f"choose {one.id}")
        duration = tag("td", milliseconds(one.duration), class_="number")
        cells = (tag("td", box), tag("td", when(one)), duration, tag("td", one.method), tag("td", link))
        rows.append(tag("tr", *cells, tag("td", one.status)))
    return tag(
        "form",
        tag("table", tag("thead", head), tag("tbody", *rows), class_="sessions"),
        tag("p", tag("button", "Delete the chosen"), " ", tag("button", "Delete all", name="all", value="1")),
        method="post",
        action=request.route_path("c2c_profiler_delete"),
    )


def call_tree(node: list[Any], whole: float) -> Html:
    """Return a node of ``[text, seconds, [children]]`` and what is below it; ``whole`` is the time of all."""
    text, seconds, children = node
    shown = [child for child in children if child[1] >= whole * _SMALLEST_SHOWN]
    label = join(tag("span", f"{seconds / whole:6.1%} {milliseconds(seconds)}", class_="number"), " ", text)
    if not shown:
        return tag("div", label, class_="leaf")
    inner = (call_tree(child, whole) for child in shown)
    return tag("details", tag("summary", label), *inner, open=seconds >= whole * _OPEN)


def page(request: Any, title: str, *body: Html, scripts: Sequence[str] = ()) -> Any:
    """Return a page, which asks nobody else for anything."""

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


def when(session: Session) -> str:
    """Return when a request began, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(session.begun))


def milliseconds(seconds: float) -> str:
    """Return a time for people."""
    return f"{seconds * 1000:.1f} ms"
