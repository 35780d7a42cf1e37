"""The files of the index page: its style, its scripts, its icon, served from the package."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: its bytes, the same compressed, its type, and the tag of its content."""

    body: bytes
    compressed: bytes
    content_type: str
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Return what is served, by name."""
    found = {}
    for path in sorted((files("c2c_meta") / "page").iterdir(), key=lambda path: path.name):
        kind = _TYPES.get(path.name[path.name.rfind(".") :])
        if kind is not None:
            body = path.read_bytes()
            tag = hashlib.sha256(body).hexdigest()[:16]
            found[path.name] = PageFile(body, gzip.compress(body, 9, mtime=0), kind, tag)
    return found


def view(request: Any) -> Response:
    """Give a file; a browser that has it already is told so (304)."""
    file = page_files().get(request.matchdict["file"])
    if file is None:
        raise HTTPNotFound(f"The page has {', '.join(page_files())}")
    compressed = "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(
        file.compressed if compressed else file.body,
        content_type=file.content_type,
        charset="UTF-8",
        conditional_response=True,
        vary=("Accept-Encoding",),
    )
    response.etag = f"{file.etag}{'-gzip' if compressed else ''}"
    response.cache_control = "no-cache"
    response.cache_control.prevent_auto = True
    response.headers["X-Content-Type-Options"] = "nosniff"
    if compressed:
        response.content_encoding = "gzip"
    return response


def page_text(name: str) -> str:
    """Return a file of the page that is not served as it is."""
    return (files("c2c_meta") / "page" / name).read_text(encoding="utf-8")
