"""Check two rules of the house that no linter knows, and print the table of its sizes: ``python -m tools.house_rules``.

Inside of ``with ...lock`` nothing is logged, waited for or called back, neither there nor in what is called from there:
methods of the class, functions of the module, methods whose name only one class of the package has. What is allowed,
and why, stands in ``ALLOWED``. The table has lines, modules, the longest chain of imports and circles of each package,
beside DESIGN's budgets. Exit 1 where something is found under a lock.
"""

import ast
import graphlib
import io
import queue
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
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
AROUND = {"tools documentation": 1500, "benchmarks": 1500}
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

_LOCKS = frozenset({"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"})
_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
_WAITS = frozenset({"wait", "wait_for", "result", "acquire", "sleep", "recv", "sendall", "connect", "getaddrinfo"})
_WAITS |= {"start", "execute", "poll", "select", "read_response", "communicate"}
# Methods of usual types: a call by such a name says nothing of whose method it is.
_USUAL = frozenset(
    name for kind in (dict, list, set, str, bytes, int, tuple, queue.Queue, io.TextIOWrapper) for name in dir(kind)
)
_CLOCKS = frozenset({"_clock", "clock", "cls"})


@dataclass(frozen=True)
class Finding:
    """One call that must not be where it is: ``inside`` which function, and by what way it is reached."""

    path: Path
    line: int
    inside: str
    call: str
    kind: str
    way: str

    @property
    def key(self) -> str:
        """How ``ALLOWED`` names it."""
        return f"{self.path.name} {self.inside}: {self.call}"

    def __str__(self) -> str:
        """Say where, what, and by which way it is reached."""
        return f"{self.path.relative_to(ROOT)}:{self.line}: under a lock: {self.kind}: {self.call}{self.way}"


@dataclass(frozen=True)
class Function:
    """A function of a package: where it is, and of which class."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    path: Path
    owner: str

    @property
    def name(self) -> str:
        """What it is called in its module."""
        return f"{self.owner}.{self.node.name}" if self.owner else self.node.name

    def arguments(self) -> Iterator[ast.arg]:
        """Give its parameters."""
        return (argument for argument in ast.walk(self.node.args) if isinstance(argument, ast.arg))


class Package:
    """What the rule must know of a package: functions, locks, and attributes that keep what was given to call."""

    def __init__(self, paths: list[Path]) -> None:
        self.functions: dict[tuple[Path, str], Function] = {}
        self.methods: dict[str, list[Function]] = defaultdict(list)
        self.locks: set[str] = set()
        self.kept: set[str] = set()
        for path in paths:
            tree = ast.parse(path.read_text("utf-8"))
            for node in ast.walk(tree):
                match node:
                    case (
                        ast.Assign(targets=[target], value=value)
                        | ast.AnnAssign(target=target, value=ast.expr() as value)
                    ):
                        calls = (one for one in ast.walk(value) if isinstance(one, ast.Call))
                        self.locks |= {_last(target)} if any(_last(call.func) in _LOCKS for call in calls) else set()
                    case ast.Module(body=body) | ast.ClassDef(body=body):
                        for one in body:
                            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                                self._add(Function(one, path, getattr(node, "name", "")))

    def _add(self, function: Function) -> None:
        self.functions[function.path, function.name] = function
        if function.owner:
            self.methods[function.node.name].append(function)
        given = {
            one.arg for one in function.arguments() if one.annotation and "Callable" in ast.unparse(one.annotation)
        }
        for node in ast.walk(function.node):
            match node:
                case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Name(id=value)) if value in given:
                    self.kept.add(name)

    def findings(self) -> list[Finding]:
        """Return what the functions do under their locks."""
        found: dict[tuple[Path, int, str], Finding] = {}
        for function in self.functions.values():
            for node in ast.walk(function.node):
                if isinstance(node, ast.With) and (held := self._held(node)):
                    for one in self._look(node.body, function, held, (function.name,)):
                        found.setdefault((one.path, one.line, one.call), one)
        return list(found.values())

    def _held(self, node: ast.With) -> str:
        """Return the lock that a ``with`` holds, empty for another kind of ``with``."""
        names = {ast.unparse(item.context_expr): _last(item.context_expr) for item in node.items}
        return next((text for text, name in names.items() if name in self.locks or name.lower().endswith("lock")), "")

    def _look(self, body: list[ast.stmt], function: Function, held: str, way: tuple[str, ...]) -> Iterator[Finding]:
        given = {argument.arg for argument in function.arguments()}
        for loop in ast.walk(function.node):
            if isinstance(loop, ast.For | ast.comprehension):
                given |= {name.id for name in ast.walk(loop.target) if isinstance(name, ast.Name)}
        for call in _calls(body):
            inner = self._target(call, function)
            if inner and inner.name not in way:
                yield from self._look(inner.node.body, inner, held, (*way, inner.name))
            elif not inner and (kind := self._kind(call, held, given - _CLOCKS)):
                by = f" (by {' > '.join(way[1:])})" if way[1:] else ""
                yield Finding(function.path, call.lineno, function.name, ast.unparse(call.func), kind, by)

    def _target(self, call: ast.Call, function: Function) -> Function | None:
        """Return the function of the package that is called, where that can be told."""
        match call.func:
            case ast.Name(id=name):
                return self.functions.get((function.path, name))
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if own := self.functions.get(
                (function.path, f"{function.owner}.{name}")
            ):
                return own
            case ast.Attribute(attr=name) if (
                name not in _USUAL | _WAITS | _LOG_METHODS and len(self.methods[name]) == 1
            ):
                return self.methods[name][0]
        return None

    def _kind(self, call: ast.Call, held: str, given: set[str]) -> str | None:
        """Return what is wrong with a call under a lock, None for one that may be."""
        text, name = ast.unparse(call.func), _last(call.func)
        on = text.rpartition(".")[0]
        writes = text in {"warnings.warn", "print"} or (name == "write" and on.startswith("sys.std"))
        if writes or (name in _LOG_METHODS and "log" in on.lower()):
            return "logs"
        # A condition may be waited for by those that hold it; starting a thread waits for nothing of ours.
        mine = name.startswith("wait") and on == held
        thread = name == "start" and "thread" in on.lower()
        at_once = name == "poll" and [ast.unparse(argument) for argument in call.args] == ["0"]
        joins = name == "join" and not call.args and not on.startswith(("'", '"'))
        if on and (joins or (name in _WAITS and not (mine or thread or at_once))):
            return "waits"
        back = name in given if isinstance(call.func, ast.Name) else on and name in self.kept - _CLOCKS
        return "calls back" if back else None


def _calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """Give the calls that run here: not those of functions that are only made here."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
            if isinstance(node, ast.Call):
                yield node


def _last(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _chain(root: Path, paths: list[Path]) -> tuple[list[str], str]:
    """Return the longest chain of imports of a package, and a circle where there is one (then no chain).

    What counts is what a module imports when it is imported itself, but for ``__init__``.
    """
    names = {".".join(path.relative_to(root).with_suffix("").parts): path for path in paths if path.stem != "__init__"}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        graph[name] = set()
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.ImportFrom(module=str(module), names=aliases):
                    graph[name] |= names.keys() & {module, *(f"{module}.{alias.name}" for alias in aliases)} - {name}
                case ast.Import(names=aliases):
                    graph[name] |= names.keys() & {alias.name for alias in aliases} - {name}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return [], " > ".join(reversed(error.args[1]))
    chains: dict[str, list[str]] = {}
    for name in order:
        chains[name] = [name, *max((chains[other] for other in sorted(graph[name])), key=len, default=[])]
    return max(chains.values(), key=len, default=[]), ""


def _length(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def table() -> list[str]:
    """Return the lines of the table, and one for each package that is over its budget."""
    lines = [f"{'package':15}{'lines':>7}{'at most':>9}{'modules':>9}{'chain':>7}  circles"]
    wrong = []
    for folder in sorted((ROOT / "packages").iterdir()):
        paths = sorted((folder / "src").rglob("*.py"))
        count = sum(map(_length, paths))
        most = BUDGETS.get(folder.name, count)
        chain, circle = _chain(folder / "src", paths)
        lines.append(f"{folder.name:15}{count:7,}{most:9,}{len(paths):9}{len(chain):7}  {circle or 'none'}")
        if count > most:
            wrong.append(f"{folder.name}: {count - most:,} lines over its budget")
        if len(chain) > LONGEST_CHAIN:
            wrong.append(f"{folder.name}: a chain of imports longer than {LONGEST_CHAIN}: {' > '.join(chain)}")
    for names, most in AROUND.items():
        files = [file for name in names.split() for file in (ROOT / name).glob("*.py")]
        lines.append(f"{names}: {sum(map(_length, files)):,} lines, at most {most:,}")
    return lines + wrong


def main() -> int:
    """Print what is wrong and the table; return the exit code."""
    services = [folder for folder in sorted((ROOT / "packages").iterdir()) if folder.name != "c2c-testing"]
    found = [one for folder in services for one in Package(sorted((folder / "src").rglob("*.py"))).findings()]
    problems = [str(finding) for finding in found if finding.key not in ALLOWED]
    stale = [f"ALLOWED: no longer needed: {key}" for key in sorted(ALLOWED.keys() - {finding.key for finding in found})]
    sys.stdout.write("\n".join([*problems, *stale, *table()]) + "\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
