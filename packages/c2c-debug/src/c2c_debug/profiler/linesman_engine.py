"""linesman 0.3.2 (PyPI, 2016) as the engine: adapted, its pages behind our guard, its recordings in our bounded file.

It is imported with names that Python has lost since, and sees networkx as it was in 2012. Nothing of this is done where
linesman is not used. Its own pages ask nobody who they are, and its own backends read pickles.
"""

import fractions
import importlib.util
import inspect
import logging
import math
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from cProfile import Profile
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound

from c2c_broadcast import json_error, settings_of
from c2c_debug._parameters import number
from c2c_debug.profiler.sessions import Session, Sessions

_LOG = logging.getLogger(__name__)

_DISTRIBUTION = "linesman"
_MOST_PICTURES = 100
# Of a function that cProfile saw being called and never itself, as may be from Python 3.12 on.
_NOTHING = {"callcount": 0, "reccallcount": 0, "inlinetime": 0.0, "totaltime": 0.0}
# Its scripts and styles stand in its pages.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GRAPH = re.compile(rf"graph/(?:thumb-)?({_UUID})--(\d{{1,15}})\.png")
_PAGE = re.compile(rf"(?:media/[\w./-]+|profiles/{_UUID}|delete(?:/{_UUID}|/all)?|)")
# Of the whole time: with less, a page or picture of a large graph takes longer than anybody waits.
_LEAST_PERCENT = 0.5
_NANOSECONDS = 1e9


def recorder(
    app: Any, path: str, modules: Sequence[str], flag: Path, sessions: Sessions, config: Configurator
) -> "Callable[[Mapping[str, Any]], Recording] | None":
    """Add linesman's pages, and return what makes its recordings; None where it is not installed or does not work."""
    middleware = load()
    if middleware is None:
        return None
    engine = Engine(middleware, app, path, modules, flag, sessions)
    public = settings_of(config.registry).secret is None
    config.add_operator_view(
        engine.page, name="linesman", path="/*rest", renderer=None, public=public, methods=("GET", "POST")
    )
    return engine.recording


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

    def __init__(
        self, middleware: Any, app: Any, path: str, modules: Sequence[str], flag: Path, sessions: Sessions
    ) -> None:
        self._path = path
        self._graphs = flag.parent / "graphs"
        # These are of the module: there is one folder of a service in a process.
        # It looks whether the folder is there, then makes it: of workers that start at once the later ones would fail.
        self._graphs.mkdir(parents=True, exist_ok=True)
        middleware.GRAPH_DIR = str(self._graphs)
        middleware.ENABLED_FLAG_FILE = str(flag)
        self._backend = Backend(sessions, middleware.nx.DiGraph)
        self._pages = middleware.ProfilingMiddleware(
            app,
            profiler_path=path,
            backend=f"{__name__}:_existing",
            chart_packages=" ".join(modules),
            existing=self._backend,
        )
        # Its templates show paths of requests: escaped, here.
        self._pages.template_lookup = middleware.TemplateLookup(
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
        self._backend.add(found)

    def page(self, request: Any) -> Any:
        """Have linesman answer."""
        rest = "/".join(request.matchdict["rest"])
        if rest.startswith("delete") or "enable" in request.params or "disable" in request.params:
            _require_same_origin(request)
        graph = _GRAPH.fullmatch(rest)
        if graph is not None:
            self._require_drawable(graph[1], int(graph[2]))
        elif not _PAGE.fullmatch(rest):
            raise json_error(HTTPNotFound, "There is no such page")
        number(request, "cutoff_percent", 5, minimum=_LEAST_PERCENT, maximum=100)
        inner = request.copy()
        inner.path_info = f"{self._path}/{rest}".rstrip("/")
        response = inner.get_response(self._pages)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _require_drawable(self, uuid: str, cutoff: int) -> None:
        session = self._backend.get(uuid)
        if session is None or cutoff < int(session.duration * _LEAST_PERCENT / 100 * _NANOSECONDS):
            raise json_error(HTTPNotFound, "There is no such picture")
        pictures = sorted(self._graphs.glob("*.png"), key=_age)
        for old in pictures[_MOST_PICTURES:]:
            old.unlink(missing_ok=True)


def _require_same_origin(request: Any) -> None:
    """Refuse a change that another site makes an operator's browser ask for; linesman's own links change by GET."""
    site = request.headers.get("Sec-Fetch-Site")
    source = request.headers.get("Origin") or request.headers.get("Referer")
    same = site == "same-origin" if site else source is None or urlsplit(source).netloc == request.host
    if not same or (site is None and source is None and request.cookies and not request.headers.get("X-API-Key")):
        raise json_error(HTTPForbidden, "This changes something, and comes from another site: use the profiler's page")


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0


class Backend:
    """What linesman calls a backend (linesman.backends.base), on our sessions: a graph as JSON."""

    def __init__(self, sessions: Sessions, graph: type[Any]) -> None:
        self._sessions = sessions
        self._graph = graph

    def setup(self) -> None:
        """Do nothing: the file sees to itself."""

    def add(self, session: Any) -> None:
        """Keep a session."""
        graph = session._graph  # noqa: SLF001 # linesman has no other name for it
        data = {"nodes": list(graph.nodes(data=True)), "edges": list(graph.edges(data=True))}
        begun = session.timestamp.timestamp()
        self._sessions.add(Session(begun, session.duration, "", session.path, "", session.uuid), data)

    def delete(self, session_uuid: str) -> int:
        """Delete one; return how many there were."""
        return self._sessions.delete([session_uuid])

    def delete_many(self, session_uuids: Sequence[str]) -> int:
        """Delete these; return how many there were."""
        return self._sessions.delete(session_uuids)

    def delete_all(self) -> int:
        """Delete all; return how many there were."""
        return self._sessions.delete()

    def get(self, session_uuid: str) -> Any:
        """Return one with its graph, None if there is none."""
        row = self._sessions.get(session_uuid)
        if row is None:
            return None
        found, graph = _session(row[0]), self._graph(name="G")
        for node, attributes in row[1]["nodes"]:
            graph.add_node(node, **{**_NOTHING, **attributes})
        for start, end, attributes in row[1]["edges"]:
            graph.add_edge(start, end, **attributes)
        found._graph = graph  # noqa: SLF001 # as above
        return found

    def get_all(self) -> dict[str, Any]:
        """Return all by their identifiers, without graphs, the oldest first."""
        return {one.uuid: _session(one) for one in reversed(self._sessions.all())}


def _session(one: Session) -> SimpleNamespace:
    when = datetime.fromtimestamp(one.begun)  # noqa: DTZ006 # linesman's pages show local time
    return SimpleNamespace(uuid=one.uuid, path=one.path, duration=one.duration, timestamp=when)


def _existing(existing: Backend) -> Backend:
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
