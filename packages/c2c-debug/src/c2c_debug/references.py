"""``show_refs.dot``: what refers to what, as a graph in Graphviz's language (graphviz.org/doc/info/lang.html).

Not objgraph's graph: that has no end in time or size, and cuts a text before a secret in it is masked.
"""

import gc
from collections import deque
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response

from c2c_broadcast import json_error, names_secret
from c2c_debug._parameters import bad, flag, integer, number
from c2c_debug.heavy import deadline, tools_of
from c2c_debug.objects import Mask, by_name, cut, is_a, kilobytes, near, short_repr, type_name, unknown
from c2c_debug.sizes import get_size

_MOST_ROOTS = 100
_MOST_NODES = 1_000
_MOST_KEYS = 10_000
_LONGEST_LABEL = 80
_HIGHEST_ID = 2**64
_DEEPEST = 20
_MOST_EDGES = 1_000
_LARGEST = 1024.0**3


def view(request: Any) -> Any:
    """Give a graph of what the objects of ``analyze_type``, or the one of ``analyze_id``, refer to."""
    tools = tools_of(request.registry)
    name, identity = request.params.get("analyze_type"), request.params.get("analyze_id")
    if bool(name) == bool(identity):
        raise bad("Give analyze_type (builtins.dict) or analyze_id (a number as in a graph's labels): one of the two")
    graph = _Graph(request, tools.masker)
    number_of = integer(request, "analyze_id", 0, minimum=0, maximum=_HIGHEST_ID)
    with tools.alone("show_refs.dot"):
        text = graph.text(_of_type(name) if name else _with_id(number_of), deadline())
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
        raise unknown(name, near(name, things))
    return found[:_MOST_ROOTS]


class _Graph:
    """A graph while it is made, as a request's parameters want it."""

    def __init__(self, request: Any, mask: Mask) -> None:
        self._max_depth = integer(request, "max_depth", 3, minimum=0, maximum=_DEEPEST)
        self._too_many = integer(request, "too_many", 10, minimum=1, maximum=_MOST_EDGES)
        sizes = (number(request, one, 0, minimum=0, maximum=_LARGEST) for one in ("filter", "min_size_kb"))
        self._least = max(sizes) * 1024
        self._extra_info = not flag(request, "no_extra_info")
        self._backrefs = flag(request, "backrefs")
        self._mask = mask
        self._nodes: dict[int, int] = {}
        self._secrets: set[int] = set()
        self._queue: deque[tuple[Any, int]] = deque()
        self._ignored: set[int] = set()  # the ids of our own containers
        self._lines = [
            "digraph references {",
            '  node [shape=box, style=filled, fillcolor="#ffffff", fontname="sans-serif", fontsize=10];',
            '  edge [fontname="sans-serif", fontsize=9];',
        ]

    def text(self, roots: list[Any], over: Callable[[], bool]) -> str:
        """Return the graph from these roots on, as far as it is wanted and there is time."""
        self._ignored |= {id(roots), id(self._queue)}
        for root in roots:
            self._add(root, 0)
        while self._queue and not over():
            thing, depth = self._queue.popleft()
            self._show(thing, depth)
            if depth < self._max_depth:
                self._follow(thing, depth)
        if self._queue:
            self._lines.append("  // stopped: it took too long")
        if len(self._nodes) >= _MOST_NODES:
            self._lines.append(f"  // stopped at {_MOST_NODES} nodes")
        return "\n".join([*self._lines, "}\n"])

    def _add(self, thing: Any, depth: int) -> bool:
        """Queue a thing that is new; tell whether it is in the graph."""
        if id(thing) in self._nodes:
            return True
        if len(self._nodes) >= _MOST_NODES:
            return False
        self._nodes[id(thing)] = len(self._nodes)
        self._queue.append((thing, depth))
        return True

    def _show(self, thing: Any, depth: int) -> None:
        rows = [type_name(thing), self._shown(thing)]
        if self._extra_info:
            rows.append(f"id {id(thing)}, {kilobytes(get_size(thing))} kB")
        colour = "#ffb3b3" if depth == 0 else "#ffffff"
        label = "\\n".join(map(self._quoted, rows))
        self._lines.append(f'  n{self._nodes[id(thing)]} [label="{label}", fillcolor="{colour}"];')

    def _shown(self, thing: Any) -> str:
        if id(thing) in self._secrets:
            return "***"
        if is_a(thing, (dict, list, tuple, set, frozenset)):
            return f"{len(thing)} items"
        if is_a(thing, ModuleType):
            return str(thing.__name__)
        if is_a(thing, FrameType):
            return f"{thing.f_code.co_filename}:{thing.f_lineno}"
        return short_repr(thing, self._mask)

    def _follow(self, thing: Any, depth: int) -> None:
        me, shown = f"n{self._nodes[id(thing)]}", 0
        others = gc.get_referrers(thing) if self._backrefs else gc.get_referents(thing)
        self._ignored.add(id(others))
        labels = {} if self._backrefs else _labels(thing)
        for index, other in enumerate(others):
            if self._is_left_out(other):
                continue
            label = _labels(other).get(id(thing)) if self._backrefs else labels.get(id(other))
            if label is not None and names_secret(label) and is_a(other, (str, bytes)):
                self._secrets.add(id(other))
            if shown >= self._too_many or not self._add(other, depth + 1):
                it, text = f"m{me[1:]}", ""
                self._lines.append(f'  {it} [label="{len(others) - index} more", shape=plaintext, style=""];')
            else:
                it, text = f"n{self._nodes[id(other)]}", f' [label="{self._quoted(label)}"]' if label else ""
            self._lines.append(f"  {it} -> {me}{text};" if self._backrefs else f"  {me} -> {it}{text};")
            shown += 1
            if it[0] == "m":
                break
        self._ignored.discard(id(others))

    def _is_left_out(self, thing: Any) -> bool:
        if thing is self or id(thing) in self._ignored:
            return True
        if is_a(thing, FrameType) and thing.f_code.co_filename == __file__:
            return True
        return bool(self._least) and get_size(thing) < self._least

    def _quoted(self, text: str) -> str:
        """Return a text, masked, for between double quotes."""
        text = self._mask(cut(text, _LONGEST_LABEL)).replace("\\", "\\\\").replace('"', '\\"')
        return "".join(sign if sign.isprintable() else " " for sign in text)


def _labels(thing: Any) -> dict[int, str]:
    """Return how a thing calls those that it refers to, by their id. Runs no code of the thing's."""
    found: dict[int, str] = {}
    items = thing
    if not is_a(thing, dict):
        try:
            items = object.__getattribute__(thing, "__dict__")
        except AttributeError:
            return found
        found[id(items)] = "__dict__"
    if is_a(items, dict) and len(items) <= _MOST_KEYS:
        for key, value in list(items.items()):
            found.setdefault(id(value), key if isinstance(key, str) else type(key).__name__)
    return found
