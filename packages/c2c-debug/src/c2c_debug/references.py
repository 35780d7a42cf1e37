"""``show_refs.dot``: what refers to what, as a graph in Graphviz's language (graphviz.org/doc/info/lang.html)."""

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response

from c2c_broadcast import json_error, names_secret
from c2c_debug._parameters import bad, flag, integer, number
from c2c_debug.heavy import LONGEST, Deadline, tools_of
from c2c_debug.objects import Mask, by_name, cut, is_a, kilobytes, near, short_repr, size_of, type_name, unknown

MOST_ROOTS = 100
_MOST_NODES = 1_000
_MOST_KEYS = 10_000
_LONGEST_LABEL = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a graph shows: ``max_depth`` steps from its roots, ``too_many`` edges a node, nothing below ``least`` kB."""

    max_depth: int = 3
    too_many: int = 10
    least: float = 0
    extra_info: bool = True
    backrefs: bool = False


@dataclass(slots=True)
class _Graph:
    """A graph while it is made. ``ignored`` are the ids of our own containers."""

    wanted: Wanted
    mask: Mask
    deadline: Deadline
    nodes: dict[int, int] = field(default_factory=dict)
    secrets: set[int] = field(default_factory=set)
    queue: deque[tuple[Any, int]] = field(default_factory=deque)
    ignored: set[int] = field(default_factory=set)

    def add(self, thing: Any, depth: int) -> bool:
        """Queue a thing that is new; tell whether it is in the graph."""
        if id(thing) in self.nodes:
            return True
        if len(self.nodes) >= _MOST_NODES:
            return False
        self.nodes[id(thing)] = len(self.nodes)
        self.queue.append((thing, depth))
        return True

    def lines(self, roots: list[Any]) -> Iterator[str]:
        yield "digraph references {"
        yield '  node [shape=box, style=filled, fillcolor="#ffffff", fontname="sans-serif", fontsize=10];'
        yield '  edge [fontname="sans-serif", fontsize=9];'
        for root in roots:
            self.add(root, 0)
        self.ignored |= {id(roots), id(self.queue), id(self.nodes), id(self.secrets), id(self.ignored)}
        while self.queue:
            if self.deadline.over():
                yield "  // stopped: it took too long"
                break
            thing, depth = self.queue.popleft()
            self.ignored.add(id(thing))
            yield self._node(thing, depth)
            if depth < self.wanted.max_depth:
                yield from self._edges(thing, depth)
        if len(self.nodes) >= _MOST_NODES:
            yield f"  // stopped at {_MOST_NODES} nodes"
        yield "}"

    def _node(self, thing: Any, depth: int) -> str:
        rows = [type_name(thing), self._shown(thing)]
        if self.wanted.extra_info:
            rows.append(f"id {id(thing)}, {kilobytes(size_of(thing))} kB")
        colour = "#ffb3b3" if depth == 0 else "#ffffff"
        label = "\\n".join(_quoted(self.mask(cut(row, _LONGEST_LABEL))) for row in rows)
        return f'  n{self.nodes[id(thing)]} [label="{label}", fillcolor="{colour}"];'

    def _shown(self, thing: Any) -> str:
        if id(thing) in self.secrets:
            return "***"
        if is_a(thing, (dict, list, tuple, set, frozenset)):
            return f"{len(thing)} items"
        if is_a(thing, ModuleType):
            return str(thing.__name__)
        if is_a(thing, FrameType):
            return f"{thing.f_code.co_filename}:{thing.f_lineno}"
        return short_repr(thing, self.mask)

    def _edges(self, thing: Any, depth: int) -> Iterator[str]:
        me = self.nodes[id(thing)]
        others = gc.get_referrers(thing) if self.wanted.backrefs else gc.get_referents(thing)
        self.ignored.add(id(others))
        labels = {} if self.wanted.backrefs else _labels(thing)
        shown = 0
        for index, other in enumerate(others):
            if id(other) in self.ignored and id(other) not in self.nodes:
                continue
            if self._is_ours(other) or not self._is_big(other):
                continue
            label = _labels(other).get(id(thing)) if self.wanted.backrefs else labels.get(id(other))
            if label is not None and names_secret(label) and is_a(other, (str, bytes)):
                self.secrets.add(id(other))
            if shown >= self.wanted.too_many or not self.add(other, depth + 1):
                yield f'  m{me} [label="{len(others) - index} more", shape=plaintext, style=""];'
                yield f"  n{me} -> m{me};" if not self.wanted.backrefs else f"  m{me} -> n{me};"
                break
            shown += 1
            it = self.nodes[id(other)]
            start, end = (it, me) if self.wanted.backrefs else (me, it)
            text = f' [label="{_quoted(self.mask(cut(label, _LONGEST_LABEL)))}"]' if label else ""
            yield f"  n{start} -> n{end}{text};"
        self.ignored.discard(id(others))

    def _is_ours(self, thing: Any) -> bool:
        return thing is self or (is_a(thing, FrameType) and thing.f_code.co_filename == __file__)

    def _is_big(self, thing: Any) -> bool:
        return not self.wanted.least or size_of(thing) >= self.wanted.least * 1024


def graph(roots: list[Any], wanted: Wanted, mask: Mask, deadline: Deadline) -> str:
    """Return the graph of what the roots refer to (or what refers to them), as far as it is wanted."""
    return "\n".join(_Graph(wanted, mask, deadline).lines(roots[:MOST_ROOTS])) + "\n"


def _labels(thing: Any) -> dict[int, str]:
    """Return how a thing calls those that it refers to, by their id. Runs no code of the thing's."""
    found: dict[int, str] = {}
    if is_a(thing, dict):
        items = thing
    else:
        try:
            items = object.__getattribute__(thing, "__dict__")
        except AttributeError:
            return found
        if not isinstance(items, dict):
            return found
        found[id(items)] = "__dict__"
    if len(items) <= _MOST_KEYS:
        for key, value in list(items.items()):
            found.setdefault(id(value), key if isinstance(key, str) else type(key).__name__)
    return found


def _quoted(text: str) -> str:
    """Return a text for between double quotes."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    return "".join(sign if sign.isprintable() else "?" for sign in text)


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
