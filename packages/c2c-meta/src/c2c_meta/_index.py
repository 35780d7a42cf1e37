"""The index page: the sections that the packages bring as data, and the operators' log-in."""

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response

from c2c_broadcast import Section, is_auth, sections, settings_of

_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


def add(config: Configurator) -> None:
    """Add the page at the base path, with and without a slash, and its style sheet."""
    for name, path in (("index", ""), ("index_slash", "/")):
        config.add_operator_view(_page, name=name, path=path, renderer=None, public=True, methods=("GET", "POST"))
    config.add_operator_view(_style, name="index_style", path="/static/index.css", renderer=None, public=True)


def _page(request: Any) -> Response:
    """Show the page; a POST is a log-in or a log-out, and its credentials never come into a URL."""
    operator = is_auth(request)
    given = request.POST.get("secret") if request.method == "POST" else None
    if given == "" or (given and operator):
        return HTTPSeeOther(request.route_path("c2c_index"))
    shown = [section for section in sections(request.registry) if _is_shown(section, operator=operator)]
    html = _template().render(
        sections=shown,
        operator=operator,
        refused=bool(given),
        can_log_in=settings_of(request.registry).secret is not None,
        url=request.route_path,
    )
    response = Response(html, status=403 if given else 200, content_type="text/html", charset="UTF-8")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _is_shown(section: Section, *, operator: bool) -> bool:
    if section.html is not None and not section.html:
        return False  # nothing but what the application writes itself, and it has written nothing
    return operator or not section.operators_only


def _style(_request: Any) -> Response:
    return Response(_read("index.css"), content_type="text/css", charset="UTF-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_read("index.html"))


@cache
def _read(name: str) -> str:
    return (files("c2c_meta") / "page" / name).read_text(encoding="utf-8")
