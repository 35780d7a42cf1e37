"""The index page: the sections that the packages bring as data, the operators' log-in, and the page's own files."""

import hashlib
import shlex
import time
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response

from c2c_broadcast import Form, Section, is_auth, sections, settings_of
from c2c_broadcast.process import host_name
from c2c_page.overview import overview_of

if TYPE_CHECKING:
    import jinja2

_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add(config: Configurator) -> None:
    """Add the page at the base path, with and without a slash, and its files."""
    for name, path in (("index", ""), ("index_slash", "/")):
        config.add_operator_view(_page, name=name, path=path, renderer=None, public=True, methods=("GET", "POST"))
    config.add_operator_view(_file, name="index_file", path="/static/{file}", renderer=None, public=True)


def _page(request: Any) -> Response:
    """Show the page; a POST is a log-in or a log-out, and its credentials never come into a URL."""
    operator = is_auth(request, "read")
    given = request.POST.get("secret") if request.method == "POST" else None
    if given == "" or (given and operator):
        return HTTPSeeOther(request.route_path("c2c_index"))
    html = _template().render(
        sections=[section for section in sections(request.registry) if _is_shown(section, operator=operator)],
        operator=operator,
        refused=bool(given),
        can_log_in=settings_of(request.registry).secret is not None,
        service=request.registry.package_name,
        host=host_name(),
        overview=overview_of(request.registry).all() if operator else None,
        url=request.route_path,
        file=lambda name: request.route_path("c2c_index_file", file=name),
        curl=lambda part, query=None: curl(request, part, query, operator=operator),
        made=time.strftime("%H:%M:%S UTC", time.gmtime()),
    )
    response = Response(html, status=403 if given else 200, content_type="text/html", charset="UTF-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def curl(request: Any, part: Any, query: Any = None, *, operator: bool = True) -> str:
    """Return the command that does what a link or a form does, with a variable in place of the secret."""
    words = ["curl", "-H", '"X-API-Key: $C2C_SECRET"'] if operator else ["curl"]
    if isinstance(part, Form):
        query = {field.name: field.value for field in part.fields if field.value}
        if part.method == "POST":
            for name, value in query.items():
                words += ["--data-urlencode", shlex.quote(f"{name}={value}")]
            query = None
    words.append(shlex.quote(request.route_url(part.route, _query=query or None)))
    return " ".join(words)


def _is_shown(section: Section, *, operator: bool) -> bool:
    if section.html is not None and not section.html:
        return False  # nothing but what the application writes itself, and it has written nothing
    return operator or not section.operators_only


def ago(seconds: float) -> str:
    """Return a time span as people say it: ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


@cache
def _template() -> "jinja2.Template":
    import jinja2  # few workers ever show the page, and it takes 2 MB

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["ago"] = ago
    return environment.from_string((files("c2c_page") / "templates" / "index.html").read_text(encoding="utf-8"))


@cache
def page_files() -> dict[str, tuple[bytes, str, str]]:
    """Return what is served, by name: the content, its type, and the tag of it (ETag)."""
    found = {}
    for path in sorted((files("c2c_page") / "static").iterdir(), key=lambda path: path.name):
        kind = _TYPES.get(path.name[path.name.rfind(".") :])
        if kind is not None:
            body = path.read_bytes()
            found[path.name] = (body, kind, hashlib.sha256(body).hexdigest()[:16])
    return found


def _file(request: Any) -> Response:
    """Give a file; a browser that has it already is told so (304)."""
    if request.matchdict["file"] not in page_files():
        raise HTTPNotFound(f"The page has {', '.join(page_files())}")
    body, kind, tag = page_files()[request.matchdict["file"]]
    response = Response(body, content_type=kind, charset="UTF-8", conditional_response=True, etag=tag)
    response.cache_control = "no-cache"
    response.cache_control.prevent_auto = True
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
