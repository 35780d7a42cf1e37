"""Change one thing of a module at a time, and see whether the tests notice: ``make mutants P=c2c-db M=marks T=...``.

``T`` are pytest's arguments (by default all tests of the package), ``S`` is for how many seconds to go on (600): the
mutants come in an order of their own, the same each time. What survived is printed, as a line of the module each; that
tests take four times as long as without it is noticed.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tools.workspace import ROOT

_PAIRS = ((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn))
_PAIRS_OF_TWO = ((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div))
_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    one: other for pair in (*_PAIRS, *_PAIRS_OF_TWO) for one, other in (pair, pair[::-1])
}


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Give line, what became of it, and the text of the module, with one thing changed."""
    for node in ast.walk(tree):
        for field, changed in _changes(node):
            before = getattr(node, field)
            setattr(node, field, changed)
            shown = changed[0] if isinstance(changed, list) else changed
            shown = ast.unparse(shown) if isinstance(shown, ast.expr) else type(shown).__name__
            yield getattr(node, "lineno", 0), f"{type(node).__name__}.{field}: {shown}", ast.unparse(tree)
            setattr(node, field, before)


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _OTHER:
            yield "ops", [_OTHER[type(op)]()]
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in _OTHER:
            yield "op", _OTHER[type(op)]()
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield "test", ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "value", ast.Constant(None)
        case ast.Constant(value=bool(value)):
            yield "value", not value
        case ast.Constant(value=int(value) | float(value)):
            yield "value", value + 1
        case ast.Expr(value=ast.Call()):
            yield "value", ast.Constant(None)


def main() -> int:
    """Run what is asked for; return 1 where less than 85 of 100 were noticed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    parser.add_argument("module")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("tests", nargs="*", default=["tests"])
    options = parser.parse_intermixed_args()
    folder = ROOT / "packages" / options.package
    paths = {one.stem.lstrip("_"): one for one in (folder / "src").rglob("*.py")}
    if options.module not in paths:
        parser.error(f"no module {options.module!r} in {options.package}: there are {', '.join(sorted(paths))}")
    path = paths[options.module]
    source = path.read_text()
    found = list(mutants(ast.parse(source)))
    random.Random(0).shuffle(found)  # noqa: S311 # no secret
    killed = tried = 0
    began = time.monotonic()
    if not _survives(path, source, options.tests, 600):
        parser.error("the tests fail without any change")
    limit = 30 + 4 * (time.monotonic() - began)
    ends = time.monotonic() + options.seconds
    while tried < len(found) and time.monotonic() < ends:
        line, what, text = found[tried]
        tried += 1
        if _survives(path, text, options.tests, limit):
            sys.stdout.write(f"survived: {path.name}:{line}: {what}: {source.splitlines()[line - 1].strip()}\n")
            sys.stdout.flush()
        else:
            killed += 1
    sys.stdout.write(f"{options.package} {options.module}: {killed} of {tried} killed (of {len(found)} there are)\n")
    return int(killed < 0.85 * tried)


def _survives(module: Path, text: str, tests: list[str], limit: float) -> bool:
    """Run the tests with a copy of the source that has this text in the module; return whether they all pass."""
    folder = next(one for one in module.parents if one.parent.name == "packages")
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(folder / "src", place, dirs_exist_ok=True)
        (Path(place) / module.relative_to(folder / "src")).write_text(text)
        python = ROOT / ".venvs" / folder.name / "bin" / "python"
        # It ends the processes of the tests, too.
        command = ["timeout", "-s", "KILL", str(limit), str(python), "-m", "pytest", "-xqp", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": place}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
