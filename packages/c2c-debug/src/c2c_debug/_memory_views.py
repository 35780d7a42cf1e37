"""``memory`` and ``memory_diff``."""

import gc
import io
from collections import Counter
from typing import Any
from urllib.parse import quote

from pyramid.httpexceptions import HTTPException, HTTPNotFound

from c2c_broadcast import json_error
from c2c_debug._deadline import LONGEST
from c2c_debug._memory import RESERVED
from c2c_debug._objects import unknown
from c2c_debug._parameters import bad, flag, integer
from c2c_debug._together import silent
from c2c_debug._tools import MEMORY, tools_of

_MOST = 10_000
_LONGEST_TYPE = 300
_LONGEST_PATH = 4_000
_IN_URL = "/%?&=:@!$'()*+,;~"  # RFC 3986, 3.3 and 3.4
# What a server says of a request; all else in an environ belongs to those who handle it.
_OF_SERVER = ("HTTP_", "SERVER_", "REMOTE_", "wsgi.", "SCRIPT_NAME")


def limit_of(request: Any) -> int:
    """Return how many entries a list may have."""
    return integer(request, "limit", 30, minimum=1, maximum=_MOST)


def memory(request: Any) -> list[dict[str, Any]]:
    """Tell what fills the memory of every process."""
    tools = tools_of(request.registry)
    analyze_type = request.params.get("analyze_type") or None
    if analyze_type and (analyze_type in RESERVED or len(analyze_type) > _LONGEST_TYPE):
        raise bad(f"analyze_type must be the name of a type, such as builtins.dict, not {analyze_type[:50]!r}")
    params = {
        "limit": limit_of(request),
        "analyze_type": analyze_type,
        "internals": flag(request, "python_internals_map"),
    }
    with tools.gate.request("memory", LONGEST) as ticket:
        answers = tools.ask(MEMORY, {"ticket": ticket, **params})
    if analyze_type:
        found = [answer[analyze_type] for answer in answers.answers if analyze_type in answer]
        if found and all("near" in one for one in found):
            raise unknown(analyze_type, list(dict.fromkeys(name for one in found for name in one["near"])))
        for one in found:  # others have such objects, this one has none
            if one.pop("near", None) is not None:
                one["biggest_objects"] = []
    # Each process masked what it knows; this application knows its own secrets.
    for answer in answers.answers:
        for one in answer.get(analyze_type, {}).get("biggest_objects", ()):
            one.update({name: tools.masker(text) for name, text in one.items() if name == "repr"})
    return [*answers.answers, *silent(answers)]


def memory_diff(request: Any) -> list[Any]:
    """Tell by how many objects of each type a request to ``path`` lets this process grow: ``[[type, total, growth]]``.

    The request is made twice, the first time for what is loaded and cached once, unless ``no_warmup``.
    """
    path = _path(request)
    limit, warm_up = limit_of(request), not flag(request, "no_warmup")
    with tools_of(request.registry).gate.request("memory_diff", LONGEST):
        return _growth(request, path, limit, warm_up=warm_up)


def _growth(request: Any, path: str, limit: int, *, warm_up: bool) -> list[Any]:
    if warm_up:
        _invoke(request, path)
    # Made before anything is counted: it is no growth.
    before: Counter[str] = Counter()
    before.update(_counted())
    _invoke(request, path)
    after = _counted()
    return [[name, after[name], growth] for name, growth in (after - before).most_common(limit)]


def _counted() -> Counter[str]:
    import objgraph

    gc.collect()
    return Counter(objgraph.typestats(shortnames=False))


def _path(request: Any) -> str:
    subpath = request.matchdict.get("path")
    path: str = request.params.get("path") or ""
    if subpath:
        # Pyramid takes a trailing slash away, which may be another route.
        path = f"/{'/'.join(map(quote, subpath))}{'/' if request.path_info.endswith('/') else ''}"
    if not path.startswith("/") or path.startswith("//") or len(path) > _LONGEST_PATH or not path.isprintable():
        raise bad("path must be the path of a view of this application, such as /api/x, and may have a query")
    return quote(path, safe=_IN_URL)


def _invoke(request: Any, path: str) -> None:
    """Make a GET request within this process, as the same client; a 404 is not worth measuring."""
    environ = {name: value for name, value in request.environ.items() if name.startswith(_OF_SERVER)}
    environ["wsgi.input"] = io.BytesIO()
    inner = type(request).blank(path, environ=environ)
    try:
        response = request.invoke_subrequest(inner, use_tweens=True)
    except HTTPException as error:
        response = error
    except Exception:  # noqa: BLE001 # what an error leaves in memory is worth knowing, too
        return
    try:
        for _ in response.app_iter:
            pass
    finally:
        if hasattr(response.app_iter, "close"):
            response.app_iter.close()
    if response.status_int == HTTPNotFound.code:
        raise json_error(HTTPNotFound, f"path: nothing is found at {path[:200]}")
