"""linesman 0.3.2 (PyPI, 2016) as the engine of the Python profiler: everything that it takes to use it today.

It is imported with names that Python has lost since, sees networkx as it was in 2012, keeps its sessions in our bounded
file instead of pickles, and its pages are behind our guard. Nothing of this is done where linesman is not used.
"""

import fractions
import importlib.util
import inspect
import logging
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from cProfile import Profile
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from c2c_debug._linesman_sessions import LinesmanSessions
from c2c_debug._profiler_folder import Folder
from c2c_debug._profiler_sessions import Session

_LOG = logging.getLogger(__name__)

_DISTRIBUTION = "linesman"
_MOST_PICTURES = 100


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


class Engine:
    """linesman in one application: its pages, its recordings."""

    name = "linesman"

    def __init__(self, middleware: Any, app: Any, path: str, modules: tuple[str, ...], folder: Folder) -> None:
        self._graphs = folder.path / "graphs"
        # These are of the module: there is one folder of a service in a process.
        middleware.GRAPH_DIR = str(self._graphs)
        middleware.ENABLED_FLAG_FILE = folder.flag
        self.sessions = LinesmanSessions(folder.path / "linesman.sqlite", middleware.nx.DiGraph)
        self.pages = middleware.ProfilingMiddleware(
            app,
            profiler_path=path,
            backend=f"{__name__}:_existing",
            chart_packages=" ".join(modules),
            existing=self.sessions,
        )
        # Its templates show paths of requests: escaped, here.
        self.pages.template_lookup = middleware.TemplateLookup(
            directories=[middleware.TEMPLATES_DIR], default_filters=["str", "h"]
        )
        self._session = middleware.ProfilingSession
        self._one = threading.Lock()

    def recording(self, environ: Mapping[str, Any]) -> "Recording":
        """Return what records one request."""
        return Recording(self._one, lambda stats, session: self._keep(stats, environ, session))

    def _keep(self, stats: Any, environ: Mapping[str, Any], session: Session) -> None:
        began = datetime.fromtimestamp(session.begun)  # noqa: DTZ006 # linesman's pages show local time
        found = self._session(stats, environ, began)
        found.path = f"{session.method} {session.path}"
        self.sessions.add(found)

    def forget_pictures(self) -> None:
        """Keep only the newest pictures of graphs."""
        pictures = sorted(self._graphs.glob("*.png"), key=_age)
        for old in pictures[_MOST_PICTURES:]:
            old.unlink(missing_ok=True)


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0


def _existing(existing: LinesmanSessions) -> LinesmanSessions:
    """Be the class that linesman makes its backend of."""
    return existing


class Recording:
    """One request in cProfile: one at a time, because from Python 3.12 on it sees all threads of the process."""

    whole_body = False

    def __init__(self, one: threading.Lock, keep: Callable[[Any, Session], None]) -> None:
        self._one = one
        self._keep = keep
        self._profile = Profile()

    def start(self) -> bool:
        """Begin; tell whether it is this request's turn."""
        if not self._one.acquire(blocking=False):
            return False
        try:
            self._profile.enable()
        except ValueError:  # another tool profiles already
            self._one.release()
            return False
        return True

    def stop(self) -> None:
        """End."""
        self._profile.disable()
        self._one.release()

    def keep(self, session: Session) -> None:
        """Keep what was recorded."""
        self._keep(self._profile.getstats(), session)
