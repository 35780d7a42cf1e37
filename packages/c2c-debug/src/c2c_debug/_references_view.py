"""``show_refs.dot``."""

import gc
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response

from c2c_broadcast import json_error
from c2c_debug._deadline import LONGEST, Deadline
from c2c_debug._objects import by_name, near, unknown
from c2c_debug._parameters import bad, flag, integer, number
from c2c_debug._references import MOST_ROOTS, Wanted, graph
from c2c_debug._tools import tools_of

_HIGHEST_ID = 2**64
_DEEPEST = 20
_MOST = 1_000
_LARGEST = 1024.0**3
_LONGEST_SHOWN = 200


def view(request: Any) -> Any:
    """Give a graph of what the objects of ``analyze_type``, or the one of ``analyze_id``, refer to."""
    tools = tools_of(request.registry)
    name, identity = request.params.get("analyze_type"), request.params.get("analyze_id")
    if bool(name) == bool(identity):
        raise bad("Give analyze_type (builtins.dict) or analyze_id (a number as in a graph's labels): one of the two")
    wanted = Wanted(
        max_depth=integer(request, "max_depth", 3, minimum=0, maximum=_DEEPEST),
        too_many=integer(request, "too_many", 10, minimum=1, maximum=_MOST),
        least=max(number(request, one, 0, minimum=0, maximum=_LARGEST) for one in ("filter", "min_size_kb")),
        extra_info=not flag(request, "no_extra_info"),
        backrefs=flag(request, "backrefs"),
    )
    number_of = integer(request, "analyze_id", minimum=0, maximum=_HIGHEST_ID) if identity else None
    with tools.gate.request("show_refs.dot", LONGEST):
        roots = _with_id(number_of) if number_of is not None else _of_type(name)
        text = graph(roots, wanted, tools.masker, Deadline())
    return Response(text, content_type="text/vnd.graphviz", charset="UTF-8")


def _with_id(identity: int) -> list[Any]:
    import objgraph

    found = objgraph.at(identity)
    if found is None:
        raise json_error(HTTPNotFound, f"analyze_id: this process has no object {identity} that may hold others")
    return [found]


def _of_type(name: str) -> list[Any]:
    things = gc.get_objects()
    found = by_name(name, things)
    if not found:
        raise unknown(name, near(name[:_LONGEST_SHOWN], things))
    return found[:MOST_ROOTS]
