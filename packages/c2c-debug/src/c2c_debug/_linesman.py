"""linesman 0.3.2 (PyPI, 2016), adapted: everything that it takes to import it today.

It is imported with names that Python has lost since, and sees networkx as it was in 2012. Nothing of this is done where
linesman is not used.
"""

import fractions
import importlib.util
import inspect
import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_LOG = logging.getLogger(__name__)

_DISTRIBUTION = "linesman"


def load() -> Any:
    """Return ``linesman.middleware``, adapted; None where it is not installed or does not work, which is logged."""
    if importlib.util.find_spec(_DISTRIBUTION) is None:
        return None
    try:
        with _lost_names(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            middleware: Any = importlib.import_module("linesman.middleware")
            networkx: Any = importlib.import_module("networkx")
            agraph: Any = importlib.import_module("networkx.drawing.nx_agraph")
            image: Any = importlib.import_module("PIL.Image")
    except Exception as error:  # noqa: BLE001 # old code, imported by a new Python, may raise anything
        _LOG.warning("linesman is installed and can't be used: %s: %s", type(error).__name__, error)
        return None
    graph = networkx.DiGraph if hasattr(networkx.DiGraph(), "node") else _graph_of_2012(networkx.DiGraph)
    adapted = SimpleNamespace(DiGraph=graph, simple_cycles=cycles, to_agraph=agraph.to_agraph)
    sys.modules[_DISTRIBUTION].nx = middleware.nx = adapted  # type: ignore[attr-defined] # a name of linesman's

    def draw_graph(drawn: Any, output_path: str) -> None:
        # Written here: pygraphviz has fileinput open the file, which can't for bytes in Python 3.11.2.
        path = Path(output_path)
        path.write_bytes(agraph.to_agraph(drawn).draw(format=path.suffix[1:], prog="dot"))

    middleware.draw_graph = draw_graph
    middleware.Image = SimpleNamespace(open=image.open, ANTIALIAS=image.Resampling.LANCZOS)
    return middleware


@contextmanager
def _lost_names() -> Iterator[None]:
    """Give back, for the time of the import, what networkx 1 looks for in the standard library."""
    lost: list[tuple[ModuleType, str, Callable[..., Any]]] = [
        (fractions, "gcd", math.gcd),
        (inspect, "getargspec", lambda function: inspect.getfullargspec(function)[:4]),
        (inspect, "formatargspec", _format_arguments),
    ]
    given = [(module, name, what) for module, name, what in lost if not hasattr(module, name)]
    for module, name, what in given:
        setattr(module, name, what)
    try:
        yield
    finally:
        for module, name, _ in given:
            delattr(module, name)


def _format_arguments(
    args: list[str],
    varargs: str | None = None,
    varkw: str | None = None,
    defaults: Any = None,
    *_modern: Any,
    **options: Any,
) -> str:
    shown: Callable[[Any], str] = options.get("formatvalue", lambda value: f"={value!r}")
    first = len(args) - len(defaults or ())
    words = [name + (shown(defaults[index - first]) if index >= first else "") for index, name in enumerate(args)]
    words += [f"*{varargs}"] if varargs else []
    words += [f"**{varkw}"] if varkw else []
    return f"({', '.join(words)})"


def _graph_of_2012(modern: type[Any]) -> type[Any]:
    """Return networkx's directed graph with the names of its first version."""

    class Graph(modern):
        @property
        def node(self) -> Any:
            return self.nodes

        def add_node(self, node: Any, attr_dict: Mapping[str, Any] | None = None, **attributes: Any) -> None:
            super().add_node(node, **{**(attr_dict or {}), **attributes})

        def add_edge(self, u: Any, v: Any, attr_dict: Mapping[str, Any] | None = None, **attributes: Any) -> None:
            super().add_edge(u, v, **{**(attr_dict or {}), **attributes})

        def neighbors(self, node: Any) -> list[Any]:
            return list(super().neighbors(node))

        def remove_nodes_from(self, nodes: Any) -> None:
            super().remove_nodes_from(list(nodes))

        def in_degree_iter(self) -> Any:
            return iter(self.in_degree())

    return Graph


def cycles(graph: Any) -> Iterator[list[Any]]:
    """Yield cycles, closed, as long as there are some: the caller removes the first edge of each.

    This is not all simple cycles, of which a graph of calls may have more than anybody can wait for.
    """
    while (cycle := _cycle(graph)) is not None:
        yield cycle


def _cycle(graph: Any) -> list[Any] | None:
    done: set[Any] = set()
    for root in list(graph):
        if root in done:
            continue
        path: dict[Any, None] = {root: None}
        todo = [iter(list(graph.successors(root)))]
        while todo:
            node = next(todo[-1], None)
            if node is None:
                todo.pop()
                done.add(path.popitem()[0])
            elif node in path:
                walked = list(path)
                return [*walked[walked.index(node) :], node]
            elif node not in done:
                path[node] = None
                todo.append(iter(list(graph.successors(node))))
    return None
