"""linesman 0.3.2 (PyPI, 2016) as the engine: adapted, its pages behind our guard, its recordings in our bounded file.

What it wants of networkx, of 2012, is here: the release that it pins can't be imported any more, newer ones have other
names. Nothing of this is done where linesman is not used. Its own pages ask nobody who they are, and its own backends
read pickles.
"""

import importlib
import importlib.util
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from cProfile import Profile
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound

from c2c_broadcast import json_error
from c2c_debug._parameters import number
from c2c_debug.profiler.sessions import Session, Sessions

_LOG = logging.getLogger(__name__)

_MOST_PICTURES = 100
# Of a function that cProfile saw being called and never itself, as may be from Python 3.12 on.
_NOTHING = {"callcount": 0, "reccallcount": 0, "inlinetime": 0.0, "totaltime": 0.0}
# Its scripts and styles stand in its pages.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
_PAGE = re.compile(
    r"(?:media/[\w./-]+|profiles/\d{1,15}|delete(?:/\d{1,15}|/all)?|graph/(?:thumb-)?(\d{1,15})--(\d{1,15})\.png|)"
)
# Of the whole time: with less, a page or picture of a large graph takes longer than anybody waits.
_LEAST_PERCENT = 0.5
_NANOSECONDS = 1e9


def load() -> Any:
    """Return ``linesman.middleware``, adapted; None where it is not installed or does not work, which is logged."""
    if importlib.util.find_spec("linesman") is None:
        return None
    networkx: Any = ModuleType("networkx")
    networkx.DiGraph, networkx.simple_cycles = _Graph, cycles
    real = sys.modules.get("networkx")
    sys.modules["networkx"] = networkx
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            middleware: Any = importlib.import_module("linesman.middleware")
            image = importlib.import_module("PIL.Image")
            importlib.import_module("pygraphviz")
    except Exception as error:  # noqa: BLE001 # old code, imported by a new Python, may raise anything
        _LOG.warning("linesman is installed and can't be used: %s: %s", type(error).__name__, error)
        return None
    finally:
        del sys.modules["networkx"]
        if real is not None:
            sys.modules["networkx"] = real
    middleware.draw_graph = draw_graph
    middleware.Image = SimpleNamespace(open=image.open, ANTIALIAS=image.Resampling.LANCZOS)
    return middleware


class _Graph:
    """What linesman uses of networkx's directed graph: ``node`` has the attributes of each, ``edge`` those of each."""

    def __init__(self, node: dict[str, Any] | None = None, edge: dict[str, Any] | None = None, **_name: str) -> None:
        self.node = node or {}
        self.edge: dict[str, dict[str, Any]] = edge or {}

    def copy(self) -> "_Graph":
        node = {name: dict(attributes) for name, attributes in self.node.items()}
        return _Graph(node=node, edge={name: dict(others) for name, others in self.edge.items()})

    def add_node(self, node: str, attr_dict: dict[str, Any]) -> None:
        self.node[node] = attr_dict

    def add_edge(self, start: str, end: str, attr_dict: dict[str, Any], **_same: Any) -> None:
        for one in (start, end):
            self.node.setdefault(one, dict(_NOTHING))
        self.edge.setdefault(start, {})[end] = attr_dict

    def nodes(self, data: bool) -> Any:  # noqa: ARG002 # always with attributes
        return self.node.items()

    def neighbors(self, node: str) -> list[str]:
        return list(self.edge.get(node, ()))

    successors = neighbors

    def has_edge(self, start: str, end: str) -> bool:
        return end in self.edge.get(start, ())

    def remove_edge(self, start: str, end: str) -> None:
        del self.edge[start][end]

    def remove_nodes_from(self, nodes: Iterable[str]) -> None:
        for one in nodes:
            del self.node[one]
            self.edge.pop(one, None)
        for start, ends in self.edge.items():
            self.edge[start] = {end: attributes for end, attributes in ends.items() if end in self.node}

    def in_degree_iter(self) -> Iterator[tuple[str, int]]:
        called = {end for ends in self.edge.values() for end in ends}
        return ((node, int(node in called)) for node in self.node)


def cycles(graph: _Graph) -> Iterator[list[str]]:
    """Yield cycles, closed, as long as there are some: the caller removes the first edge of each.

    This is not all simple cycles, of which a graph of calls may have more than anybody can wait for. Each begins with
    its edge of the least time: from Python 3.12 on cProfile takes what another thread does for a call.
    """
    while True:
        try:
            TopologicalSorter(graph.edge).prepare()
        except CycleError as error:
            nodes = error.args[1][:0:-1]  # it goes from each to the one before, and ends where it begins
            times = [graph.edge[one][end].get("totaltime", 0.0) for one, end in pairwise([*nodes, nodes[0]])]
            first = times.index(min(times))
            yield [*nodes[first:], *nodes[: first + 1]]
        else:
            return


def draw_graph(graph: _Graph, output_path: str) -> None:
    """Draw it as linesman does, by Graphviz."""
    pygraphviz: Any = importlib.import_module("pygraphviz")
    drawn = pygraphviz.AGraph(name="G", directed=True)
    for node, attributes in graph.node.items():
        drawn.add_node(node, color=attributes["color"], style=attributes["style"])
    for start, ends in graph.edge.items():
        for end, attributes in ends.items():
            drawn.add_edge(start, end, label=str(attributes["totaltime"]))
    # Written here: pygraphviz has fileinput open the file, which can't for bytes in Python 3.11.2.
    Path(output_path).write_bytes(drawn.draw(format="png", prog="dot"))


class Engine:
    """linesman in one application: its pages, its recordings. It makes itself the backend that linesman asks for."""

    def __init__(self, middleware: Any, path: str, modules: Sequence[str], flag: Path, sessions: Sessions) -> None:
        self._path = path
        self._sessions = sessions
        self._graphs = flag.parent / "graphs"
        # These are of the module: there is one folder of a service in a process.
        # It looks whether the folder is there, then makes it: of workers that start at once the later ones would fail.
        self._graphs.mkdir(parents=True, exist_ok=True)
        middleware.GRAPH_DIR = str(self._graphs)
        middleware.ENABLED_FLAG_FILE = str(flag)
        self._pages = middleware.ProfilingMiddleware(
            None,
            profiler_path=path,
            backend=f"{__name__}:Backend",
            chart_packages=" ".join(modules),
            sessions=sessions,
        )
        # Its templates show paths of requests: escaped, here.
        self._pages.template_lookup = middleware.TemplateLookup(
            directories=[middleware.TEMPLATES_DIR], default_filters=["str", "h"]
        )
        self._one = threading.Lock()

    def recording(self) -> "Recording":
        """Return what records one request."""
        return Recording(self._one)

    def add_pages(self, config: Any, *, public: bool) -> None:
        """Add linesman's pages."""
        config.add_operator_view(
            self.page, name="linesman", path="/*rest", renderer=None, public=public, methods=("GET", "POST")
        )

    def page(self, request: Any) -> Any:
        """Have linesman answer."""
        rest = "/".join(request.matchdict["rest"])
        if rest.startswith("delete") or "enable" in request.params or "disable" in request.params:
            _require_same_origin(request)
        found = _PAGE.fullmatch(rest)
        if found is None or (found[1] and not self._is_drawable(found[1], int(found[2]))):
            raise json_error(HTTPNotFound, "There is no such page")
        number(request, "cutoff_percent", 5, minimum=_LEAST_PERCENT, maximum=100)
        inner = request.copy()
        inner.path_info = f"{self._path}/{rest}".rstrip("/")
        response = inner.get_response(self._pages)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _is_drawable(self, name: str, cutoff: int) -> bool:
        for old in list(self._graphs.glob("*.png"))[_MOST_PICTURES:]:
            old.unlink(missing_ok=True)
        found = self._sessions.get(name)
        return found is not None and cutoff >= int(found[0].duration * _LEAST_PERCENT / 100 * _NANOSECONDS)


def _require_same_origin(request: Any) -> None:
    """Refuse a change that another site makes an operator's browser ask for; linesman's own links change by GET."""
    site = request.headers.get("Sec-Fetch-Site")
    source = request.headers.get("Origin") or request.headers.get("Referer")
    same = site == "same-origin" if site else source is None or urlsplit(source).netloc == request.host
    if not same or (site is None and source is None and request.cookies and not request.headers.get("X-API-Key")):
        raise json_error(HTTPForbidden, "This changes something, and comes from another site: use the profiler's page")


class Backend:
    """What linesman calls a backend (linesman.backends.base), on our file; it names a session by its number's text."""

    def __init__(self, sessions: Sessions) -> None:
        self.delete_many = self.delete_all = sessions.delete
        self.delete = lambda name: sessions.delete([name])
        self._sessions = sessions

    def setup(self) -> None:
        """Do nothing: the file sees to itself."""

    def get(self, name: str) -> Any:
        """Return one with its graph, None if there is none."""
        found = self._sessions.get(name)
        return None if found is None else _shown(found[0], _graph=_Graph(**found[1]))

    def get_all(self) -> dict[str, Any]:
        """Return all by their names, without graphs, the oldest first."""
        return {str(one.id): _shown(one) for one in reversed(self._sessions.all())}


def _shown(one: Session, **more: Any) -> SimpleNamespace:
    path = f"{one.method} {one.path}"
    return SimpleNamespace(uuid=str(one.id), path=path, duration=one.duration, timestamp=one.when, **more)


class Recording:
    """One request in cProfile: one at a time, because from Python 3.12 on it sees all threads of the process."""

    def __init__(self, one: threading.Lock) -> None:
        self._one = one
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

    def data(self, _session: Session) -> Any:
        """Return what was recorded, as JSON has it: the graph of calls that linesman makes of it."""
        graph = importlib.import_module("linesman").create_graph(self._profile.getstats())
        return {"node": graph.node, "edge": graph.edge}
