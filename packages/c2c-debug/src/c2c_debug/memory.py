"""``memory``, ``memory_diff`` and ``memory_maps``: what fills the memory, and what a request adds."""

import gc
import heapq
import io
import linecache
from collections import Counter
from collections.abc import Iterator
from types import FunctionType
from typing import Any
from urllib.parse import quote, urlencode

from pyramid.httpexceptions import HTTPException, HTTPNotFound, HTTPNotImplemented

from c2c_broadcast import broadcast, json_error
from c2c_debug._parameters import bad, flag, integer
from c2c_debug.heavy import LONGEST, Deadline, Tools, tools_of
from c2c_debug.objects import Mask, by_name, is_a, kilobytes, near, short_repr, size_of, unknown
from c2c_debug.sizes import dump_memory_maps
from c2c_debug.stacks import silent

_CHANNEL = "c2c_debug_memory"
_MOST = 10_000
_LONGEST_TYPE = 300
_LONGEST_PATH = 4_000
_OWN = frozenset({"path", "limit", "no_warmup", "secret"})
_IN_URL = "/%?&=:@!$'()*+,;~"  # RFC 3986, 3.3 and 3.4
# What a server says of a request; all else in an environ belongs to those who handle it.
_OF_SERVER = ("HTTP_", "SERVER_", "REMOTE_", "wsgi.", "SCRIPT_NAME")


def subscribe(tools: Tools) -> None:
    """Answer what other processes ask."""

    def answer(ticket: str, **options: Any) -> dict[str, Any]:
        with tools.gate.enter("memory", LONGEST, ticket):
            return memory(**options, mask=tools.masker, deadline=Deadline())

    broadcast.subscribe(_CHANNEL, answer)


def limit_of(request: Any) -> int:
    """Return how many entries a list may have."""
    return integer(request, "limit", 30, minimum=1, maximum=_MOST)


def memory_view(request: Any) -> list[dict[str, Any]]:
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
        answers = tools.ask(_CHANNEL, {"ticket": ticket, **params})
    if analyze_type:
        found = [answer[analyze_type] for answer in answers.answers if analyze_type in answer]
        if found and tools.refuses_unknown and all("near" in one for one in found):
            raise unknown(analyze_type, list(dict.fromkeys(name for one in found for name in one["near"])))
        for one in found:  # others may have such objects, this one has none
            if one.pop("near", None) is not None:
                one["biggest_objects"] = []
    # Each process masked what it knows; this application knows its own secrets.
    for answer in answers.answers:
        for one in answer.get(analyze_type, {}).get("biggest_objects", ()):
            one.update({name: tools.masker(text) for name, text in one.items() if name == "repr"})
    return [*answers.answers, *silent(answers)]


def memory_diff_view(request: Any) -> list[Any]:
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
        # Pyramid takes a trailing slash away, which may be another route. A query is quoted in the path, or follows it.
        path = f"/{'/'.join(quote(part, safe='/?=&') for part in subpath)}"
        path += "/" if request.path_info.endswith("/") else ""
        query = urlencode([pair for pair in request.GET.items() if pair[0] not in _OWN])
        path += f"{'&' if '?' in path else '?'}{query}" if query else ""
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


FUNCTIONS = "builtins.function"
LINECACHE = "linecache"
RESERVED = frozenset({"nb_collected", "most_common_types", "leaking_objects", "too_many", "timeout", "hostname", "pid"})
"""What an answer has beside an analyzed type's name."""

# To find those that nothing refers to takes some 70 bytes an object: no more than 300 MB.
_MOST_SEARCHED = 4_000_000
_FOR_REPRS = 5.0


def memory(
    *,
    limit: int,
    analyze_type: str | None,
    internals: bool,
    mask: Mask,
    deadline: Deadline,
    most: int = _MOST_SEARCHED,
) -> dict[str, Any]:
    """Collect garbage and tell what is left; what the deadline cuts short has ``"timeout": true``.

    ``{"nb_collected": [3 numbers], "most_common_types": [[type, count]...], "leaking_objects": [[type, count]...]}``,
    and of ``analyze_type`` what ``analysis`` says. ``leaking_objects`` is None where they were not looked for: time was
    over, or there are more than ``most`` objects, and ``"too_many"`` says how many.
    """
    import objgraph

    found: dict[str, Any] = {"nb_collected": [gc.collect(generation) for generation in range(3)]}
    things = gc.get_objects()
    found["most_common_types"] = objgraph.most_common_types(limit, objects=things, shortnames=False)
    found["leaking_objects"] = None
    if analyze_type:  # what was asked for comes first
        found[analyze_type] = analysis(
            analyze_type, things, limit=limit, internals=internals, mask=mask, deadline=deadline
        )
    if len(things) > most:
        found["too_many"] = len(things)
    elif not deadline.over():
        leaking = objgraph.get_leaking_objects(things)
        found["leaking_objects"] = objgraph.most_common_types(limit, objects=leaking, shortnames=False)
        del leaking
    if deadline.over():
        found["timeout"] = True
    return found


def analysis(
    analyze_type: str, things: list[Any], *, limit: int, internals: bool, mask: Mask, deadline: Deadline
) -> dict[str, Any]:
    """Return more about one type, among the things.

    ``{"biggest_objects": [{"size_kb", "repr"}]}``; of ``builtins.function`` ``{"modules": [{"module", "nb_func"}]}``;
    of ``linecache``, the standard library's module, ``{"biggest_objects": [{"filename", "size_kb"}]}``; of a type that
    is none ``{"near": [names]}``. Of what the deadline cuts short it has what was found until then.
    """
    if analyze_type == LINECACHE:
        return {"biggest_objects": _cached_files(limit)}
    found = by_name(analyze_type, things)
    if found is None:
        return {"near": near(analyze_type, things)}
    if analyze_type == FUNCTIONS:
        modules = Counter(str(thing.__module__) for thing in found if is_a(thing, FunctionType))
        return {"modules": [{"module": module, "nb_func": count} for module, count in modules.most_common(limit)]}
    sizes = ((size_of(thing, internals=internals), index) for index, thing in enumerate(_while(deadline, found)))
    biggest = heapq.nlargest(limit, sizes)
    # These have some time of their own: what took a minute to find is not thrown away.
    texts = _while(Deadline(_FOR_REPRS), biggest)
    return {
        "biggest_objects": [
            {"size_kb": kilobytes(size), "repr": short_repr(found[index], mask)} for size, index in texts
        ]
    }


def _while(deadline: Deadline, things: list[Any]) -> Iterator[Any]:
    """Yield the things as long as there is time, looked at after each: one may be large. The first comes anyway."""
    for thing in things:
        yield thing
        if deadline.over():
            return


def _cached_files(limit: int) -> list[dict[str, Any]]:
    # An entry is (size, mtime, lines, name), or one loader that would be asked for the lines.
    entries = [(entry[2], name) for name, entry in list(linecache.cache.items()) if len(entry) > 1]
    sizes = ((sum(map(len, lines)), name) for lines, name in entries)
    return [{"filename": name, "size_kb": kilobytes(size)} for size, name in heapq.nlargest(limit, sizes)]


def memory_maps_view(_request: Any) -> list[dict[str, Any]]:
    """Give the memory maps of this process, the biggest (in memory) first."""
    try:
        return dump_memory_maps()
    except OSError as error:
        raise json_error(HTTPNotImplemented, f"This system does not tell: {error}") from None
