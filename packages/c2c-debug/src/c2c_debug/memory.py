"""``memory``, ``memory_diff`` and ``memory_maps``: what fills the memory, and what a request adds."""

import gc
import heapq
import io
import linecache
from collections import Counter
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any
from urllib.parse import quote, urlencode

from pyramid.httpexceptions import HTTPException, HTTPNotFound, HTTPNotImplemented

from c2c_broadcast import broadcast, json_error
from c2c_debug._parameters import bad, flag, integer
from c2c_debug.heavy import Tools, deadline, tools_of
from c2c_debug.objects import Mask, by_name, is_a, kilobytes, near, short_repr, unknown
from c2c_debug.sizes import dump_memory_maps, get_size
from c2c_debug.stacks import silent

_CHANNEL = "c2c_debug_memory"
_LONGEST_LIST = 10_000
_LONGEST_TYPE = 300
_LONGEST_PATH = 4_000
_OWN = frozenset({"path", "limit", "no_warmup", "secret"})
_IN_URL = "/%?&=:@!$'()*+,;~"  # RFC 3986, 3.3 and 3.4
# What a server says of a request; all else in an environ belongs to those who handle it.
_OF_SERVER = ("HTTP_", "SERVER_", "REMOTE_", "wsgi.", "SCRIPT_NAME")
# What an answer has beside an analyzed type's name.
_RESERVED = frozenset(
    {"nb_collected", "most_common_types", "leaking_objects", "too_many", "timeout", "hostname", "pid"}
)

# To find those that nothing refers to takes some 70 bytes an object: no more than 300 MB.
_MOST_SEARCHED = 4_000_000
_FOR_REPRS = 5.0


def subscribe(tools: Tools) -> None:
    """Answer what other processes ask."""

    def answer(**options: Any) -> dict[str, Any]:
        with tools.alone("memory"):
            return memory(**options, mask=tools.masker, over=deadline())

    broadcast.subscribe(_CHANNEL, answer)


def memory_view(request: Any) -> list[dict[str, Any]]:
    """Tell what fills the memory of every process."""
    tools = tools_of(request.registry)
    analyze_type: str = request.params.get("analyze_type") or ""
    if analyze_type and (analyze_type in _RESERVED or len(analyze_type) > _LONGEST_TYPE):
        raise bad(f"analyze_type must be the name of a type, such as builtins.dict, not {analyze_type[:50]!r}")
    params = {
        "limit": integer(request, "limit", 30, minimum=1, maximum=_LONGEST_LIST),
        "analyze_type": analyze_type,
        "internals": flag(request, "python_internals_map"),
    }
    answers = tools.ask(_CHANNEL, params)
    found = [answer[analyze_type] for answer in answers.answers if analyze_type in answer]
    if found and tools.refuses_unknown and all("near" in one for one in found):
        raise unknown(analyze_type, list(dict.fromkeys(name for one in found for name in one["near"])))
    for one in found:
        if one.pop("near", None) is not None:  # others may have such objects, this one has none
            one["biggest_objects"] = []
        # Each process masked what it knows; this application knows its own secrets.
        for thing in one.get("biggest_objects", ()):
            thing.update({name: tools.masker(text) for name, text in thing.items() if name == "repr"})
    return [*answers.answers, *silent(answers)]


def memory(
    *,
    limit: int,
    analyze_type: str,
    internals: bool,
    mask: Mask,
    over: Callable[[], bool],
    most: int = _MOST_SEARCHED,
) -> dict[str, Any]:
    """Collect garbage and tell what is left; what is cut short because time is ``over`` has ``"timeout": true``.

    ``{"nb_collected": [3 numbers], "most_common_types": [[type, count]...], "leaking_objects": [[type, count]...]}``,
    and of ``analyze_type`` what ``_analysis`` says. ``leaking_objects`` is None where they were not looked for: time
    was over, or there are more than ``most`` objects, and ``"too_many"`` says how many.
    """
    import objgraph

    found: dict[str, Any] = {"nb_collected": [gc.collect(generation) for generation in range(3)]}
    things = gc.get_objects()
    found["most_common_types"] = objgraph.most_common_types(limit, objects=things, shortnames=False)
    found["leaking_objects"] = None
    if analyze_type:  # what was asked for comes first
        found[analyze_type] = _analysis(analyze_type, things, limit, internals, mask, over)
    if len(things) > most:
        found["too_many"] = len(things)
    elif not over():
        leaking = objgraph.get_leaking_objects(things)
        found["leaking_objects"] = objgraph.most_common_types(limit, objects=leaking, shortnames=False)
        del leaking
    if over():
        found["timeout"] = True
    return found


def _analysis(
    analyze_type: str, things: list[Any], limit: int, internals: bool, mask: Mask, over: Callable[[], bool]
) -> dict[str, Any]:
    """Return more about one type, among the things.

    ``{"biggest_objects": [{"size_kb", "repr"}]}``; of ``builtins.function`` ``{"modules": [{"module", "nb_func"}]}``;
    of ``linecache``, the standard library's module, ``{"biggest_objects": [{"filename", "size_kb"}]}``; of a type that
    is none ``{"near": [names]}``. Where time is over it has what was found until then.
    """
    if analyze_type == "linecache":
        # An entry is (size, mtime, lines, name), or one loader that would be asked for the lines.
        entries = [(sum(map(len, entry[2])), name) for name, entry in list(linecache.cache.items()) if len(entry) > 1]
        files = heapq.nlargest(limit, entries)
        return {"biggest_objects": [{"filename": name, "size_kb": kilobytes(size)} for size, name in files]}
    found = by_name(analyze_type, things)
    if found is None:
        return {"near": near(analyze_type, things)}
    if analyze_type == "builtins.function":
        modules = Counter(str(thing.__module__) for thing in found if is_a(thing, FunctionType))
        return {"modules": [{"module": module, "nb_func": count} for module, count in modules.most_common(limit)]}
    sizes = ((get_size(thing, internals), index) for index, thing in enumerate(_until(over, found)))
    # These have some time of their own: what took a minute to find is not thrown away.
    biggest = _until(deadline(_FOR_REPRS), heapq.nlargest(limit, sizes))
    return {
        "biggest_objects": [
            {"size_kb": kilobytes(size), "repr": short_repr(found[index], mask)} for size, index in biggest
        ]
    }


def _until(over: Callable[[], bool], things: list[Any]) -> Iterator[Any]:
    """Yield the things as long as there is time, looked at after each: one may be large. The first comes anyway."""
    for thing in things:
        yield thing
        if over():
            return


def memory_diff_view(request: Any) -> list[Any]:
    """Tell by how many objects of each type a request to ``path`` lets this process grow: ``[[type, total, growth]]``.

    The request is made twice, the first time for what is loaded and cached once, unless ``no_warmup``.
    """
    import objgraph

    path = _path(request)
    limit = integer(request, "limit", 30, minimum=1, maximum=_LONGEST_LIST)
    warm_up = not flag(request, "no_warmup")
    with tools_of(request.registry).alone("memory_diff"):
        if warm_up:
            _invoke(request, path)
        before: dict[str, int] = {}
        objgraph.growth(limit, before, shortnames=False)
        _invoke(request, path)
        # No comprehension: its function would be one more.
        return list(map(list, objgraph.growth(limit, before, shortnames=False)))


def _path(request: Any) -> str:
    path: str = request.params.get("path") or ""
    if "path" in request.matchdict:
        # As it was sent: Pyramid takes a trailing slash away. A query is quoted in the path, or follows it.
        path = request.path_info.partition("/debug/memory_diff")[2]
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


def memory_maps_view(_request: Any) -> list[dict[str, Any]]:
    """Give the memory maps of this process, the biggest (in memory) first."""
    try:
        return dump_memory_maps()
    except OSError as error:
        raise json_error(HTTPNotImplemented, f"This system does not tell: {error}") from None
