"""Check two rules of the house that no linter knows, and print the table of its sizes.

``python -m tools.house_rules``: inside of ``with ...lock`` nothing is logged, waited for or called back, neither there
nor in what is called from there: methods of the class, functions of the module, methods whose name only one class of
the package has. What is allowed, and why, stands in ``ALLOWED``. The table has lines, modules, the longest chain of
imports and circles of each package, beside DESIGN's budgets. Exit 1 where something is found (``--report``: 0).
"""

import ast
import io
import queue
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tools.workspace import ROOT

BUDGETS = {
    "c2c-broadcast": 2400,
    "c2c-stats": 3300,
    "c2c-db": 2800,
    "c2c-health": 2500,
    "c2c-logging": 2500,
    "c2c-debug": 3400,
    "c2c-rest": 1500,
    "c2c-sentry": 650,
    "c2c-auth": 700,
    "c2c-page": 800,
    "c2c-testing": 3200,
    "c2c-meta": 1500,
    "c2c-compat": 2000,
}
LONGEST_CHAIN = 6
# "module.py Class.method: call" -> why it may be. Helpers of tests (c2c-testing) are not in a service.
ALLOWED: dict[str, str] = {
    "profiler.py SqlProfiler._put: wrap": "it wraps a method in a function of the profiler's own, and calls nothing",
    "_sink.py Sink._open: exporter.start": "the package's own exporters start threads, and log after the lock",
    "_statsd.py Sender.prepare: socket.getaddrinfo": "held by the sending thread; requests only try this lock",
    "_statsd.py Sender._try: select.poll": "as above, and those who send from a request do not wait",
    "_statsd.py Sender._try: full.poll": "as above",
    "_statsd.py Sender._try: self._socket.connect": "of a datagram socket, which waits for nothing",
}
NOT_IN_A_SERVICE = frozenset({"c2c-testing"})

_LOCKS = frozenset({"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"})
_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
_WAITS = frozenset(
    {"wait", "wait_for", "result", "acquire", "sleep", "recv", "sendall", "connect", "getaddrinfo", "start"}
)
_WAITS |= {"execute", "poll", "select", "read_response", "communicate"}
# Methods of usual types: a call by such a name says nothing of whose method it is.
_USUAL = frozenset(
    name for kind in (dict, list, set, str, bytes, int, tuple, queue.Queue, io.TextIOWrapper) for name in dir(kind)
)
_CLOCKS = frozenset({"_clock", "clock", "cls"})


@dataclass(frozen=True)
class Finding:
    """One call that must not be where it is."""

    path: Path
    line: int
    inside: str
    call: str
    kind: str
    way: tuple[str, ...]

    @property
    def key(self) -> str:
        """How ``ALLOWED`` names it."""
        return f"{self.path.name} {self.inside}: {self.call}"

    def __str__(self) -> str:
        """Say where, what, and by which way it is reached."""
        way = f" (by {' > '.join(self.way)})" if self.way else ""
        return f"{self.path.relative_to(ROOT)}:{self.line}: under a lock: {self.kind}: {self.call}{way}"


@dataclass
class _Function:
    """A function of a package: where it is, and in which class."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    path: Path
    owner: str

    @property
    def name(self) -> str:
        return f"{self.owner}.{self.node.name}" if self.owner else self.node.name


@dataclass
class _Package:
    """What the rule must know of a package."""

    functions: list[_Function] = field(default_factory=list)
    by_method: dict[str, list[_Function]] = field(default_factory=dict)
    by_place: dict[tuple[Path, str], _Function] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)
    callables: set[str] = field(default_factory=set)


def main() -> int:
    """Print what is wrong and the table; return the exit code."""
    found = all_findings()
    problems = [str(finding) for finding in found if finding.key not in ALLOWED]
    stale = [f"ALLOWED: no longer needed: {key}" for key in sorted(set(ALLOWED) - {finding.key for finding in found})]
    lines, wrong = table()
    sys.stdout.write("\n".join([*problems, *stale, *lines, *wrong]) + "\n")
    return int(bool(problems) and "--report" not in sys.argv)


def all_findings() -> list[Finding]:
    """Return what the packages of a service do under locks, allowed or not."""
    return [
        finding
        for folder in sorted((ROOT / "packages").iterdir())
        if folder.name not in NOT_IN_A_SERVICE
        for finding in findings(sorted((folder / "src").rglob("*.py")))
    ]


def findings(paths: list[Path]) -> list[Finding]:
    """Return what the functions of a package do under their locks."""
    package = _read(paths)
    found: dict[tuple[Path, int, str], Finding] = {}
    for function in package.functions:
        for node in ast.walk(function.node):
            if isinstance(node, ast.With) and (held := _held(node, package)):
                for finding in _look(node.body, function, package, held, (), {function.name}):
                    found.setdefault((finding.path, finding.line, finding.call), finding)
    return list(found.values())


def _read(paths: list[Path]) -> _Package:
    package = _Package()
    for path in paths:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            match node:
                case (
                    ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value)
                ):
                    made = {_last(call.func) for call in ast.walk(value) if isinstance(call, ast.Call)} & _LOCKS
                    package.locks |= {_last(target)} if made else set()
        for owner, body in [("", tree.body)] + [
            (n.name, n.body) for n in ast.walk(tree) if isinstance(n, ast.ClassDef)
        ]:
            for node in body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    function = _Function(node, path, owner)
                    package.callables |= _kept_callables(node)
                    package.functions.append(function)
                    package.by_place[path, function.name] = function
                    package.by_method.setdefault(node.name, []).append(function)
    return package


def _kept_callables(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the attributes in which a function keeps what it was given to call."""
    given = {
        argument.arg
        for argument in ast.walk(node.args)
        if isinstance(argument, ast.arg) and argument.annotation and "Callable" in ast.unparse(argument.annotation)
    }
    return {
        target.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Name) and one.value.id in given
        for target in one.targets
        if isinstance(target, ast.Attribute)
    }


def _held(node: ast.With, package: _Package) -> str:
    """Return the lock that a ``with`` holds, empty for another kind of ``with``."""
    for item in node.items:
        name = _last(item.context_expr)
        if name in package.locks or name.lower().endswith("lock"):
            return ast.unparse(item.context_expr)
    return ""


def _look(
    body: list[ast.stmt], function: _Function, package: _Package, held: str, way: tuple[str, ...], seen: set[str]
) -> Iterator[Finding]:
    given = {argument.arg for argument in ast.walk(function.node.args) if isinstance(argument, ast.arg)}
    for loop in ast.walk(function.node):
        if isinstance(loop, ast.For | ast.comprehension):
            given |= {name.id for name in ast.walk(loop.target) if isinstance(name, ast.Name)}
    for call in _calls(body):
        inner = _target(call, function, package)
        if inner is not None:
            if inner.name not in seen:
                yield from _look(inner.node.body, inner, package, held, (*way, inner.name), seen | {inner.name})
        elif kind := _kind(call, held, given - _CLOCKS, package):
            yield Finding(function.path, call.lineno, function.name, ast.unparse(call.func), kind, way)


def _calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """Yield the calls that run here: not those of functions that are only made here."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call):
            yield node
        todo.extend(ast.iter_child_nodes(node))


def _target(call: ast.Call, function: _Function, package: _Package) -> _Function | None:
    """Return the function of the package that is called, where that can be told."""
    match call.func:
        case ast.Name(id=name):
            return package.by_place.get((function.path, name))
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if own := package.by_place.get(
            (function.path, f"{function.owner}.{name}")
        ):
            return own
        case ast.Attribute(attr=name) if name not in _USUAL | _WAITS | _LOG_METHODS:
            methods = [one for one in package.by_method.get(name, []) if one.owner]
            return methods[0] if len(methods) == 1 else None
    return None


def _kind(call: ast.Call, held: str, given: set[str], package: _Package) -> str | None:
    """Return what is wrong with a call under a lock, None for one that may be."""
    text = ast.unparse(call.func)
    name, on = _last(call.func), text.rpartition(".")[0]
    logs = name in _LOG_METHODS and "log" in on.lower()
    writes = text in {"warnings.warn", "print"} or (name == "write" and on.startswith("sys.std"))
    # A condition may be waited for by those that hold it; starting a thread waits for nothing of ours.
    waits = name in _WAITS and on and not (name.startswith("wait") and on == held)
    waits = waits and not (name == "start" and "thread" in on.lower())
    waits = waits and not (name == "poll" and [ast.unparse(argument) for argument in call.args] == ["0"])
    joins = name == "join" and on and not call.args and not on.startswith(("'", '"'))
    back = (isinstance(call.func, ast.Name) and name in given) or (on and name in package.callables - _CLOCKS)
    if logs or writes:
        return "logs"
    if waits or joins:
        return "waits"
    return "calls back" if back else None


def _last(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def table() -> tuple[list[str], list[str]]:
    """Return the lines of the table, and one for each package that is over its budget."""
    lines = [f"{'package':15}{'lines':>7}{'at most':>9}{'modules':>9}{'chain':>7}  circles"]
    wrong = []
    for folder in sorted((ROOT / "packages").iterdir()):
        paths = sorted((folder / "src").rglob("*.py"))
        count = sum(len(path.read_text("utf-8").splitlines()) for path in paths)
        most = BUDGETS.get(folder.name)
        graph = _imports(folder / "src", paths)
        circles = _circles(graph)
        chain = _longest(graph, circles)
        lines.append(
            f"{folder.name:15}{count:7,}{most or '':>9}{len(paths):9}{len(chain):7}  {'; '.join(circles) or 'none'}"
        )
        if most is not None and count > most:
            wrong.append(f"{folder.name}: {count - most:,} lines over its budget")
        if len(chain) > LONGEST_CHAIN:
            wrong.append(f"{folder.name}: a chain of imports longer than {LONGEST_CHAIN}: {' > '.join(chain)}")
    return lines, wrong


def _imports(root: Path, paths: list[Path]) -> dict[str, set[str]]:
    """Return which modules each module of a package imports when it is imported itself, but for ``__init__``."""
    names = {".".join(path.relative_to(root).with_suffix("").parts): path for path in paths}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found: set[str] = set()
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.ImportFrom(module=str(module), names=aliases):
                    found |= {module, *(f"{module}.{alias.name}" for alias in aliases)}
                case ast.Import(names=aliases):
                    found |= {alias.name for alias in aliases}
        graph[name] = {other for other in found if other in names and other != name}
    return {name: others for name, others in graph.items() if not name.endswith("__init__")}


def _circles(graph: dict[str, set[str]]) -> list[str]:
    found: dict[frozenset[str], str] = {}

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = way[way.index(name) :]
            found.setdefault(frozenset(circle), " > ".join(_short(one) for one in (*circle, name)))
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                walk(other, (*way, name))
            done.add(name)

    done: set[str] = set()
    for name in sorted(graph):
        walk(name, ())
    return list(found.values())


def _longest(graph: dict[str, set[str]], circles: list[str]) -> list[str]:
    if circles:
        return []

    @cache
    def chain(name: str) -> tuple[str, ...]:
        below: tuple[str, ...] = ()
        for other in sorted(graph.get(name, ())):
            below = max(below, chain(other), key=len)
        return (_short(name), *below)

    longest: tuple[str, ...] = ()
    for name in graph:
        longest = max(longest, chain(name), key=len)
    return list(longest)


def _short(name: str) -> str:
    return name.partition(".")[2] or name


if __name__ == "__main__":
    sys.exit(main())
