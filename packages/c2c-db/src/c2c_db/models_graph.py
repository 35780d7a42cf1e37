"""Draw the ORM classes of an application: ``generate_model_graph(module)`` and ``c2c-models-graph``."""

import importlib
import operator
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, configure_mappers

from c2c_broadcast.command import Parser, one_line

__all__ = ["generate_model_graph", "main", "model_graph"]

_HEAD = """\
digraph models {
  rankdir = BT;
  node [shape = box, fontname = Helvetica, fontsize = 10];
  edge [fontname = Helvetica, fontsize = 9];
"""
_PLUMBING = frozenset({"typing", "abc", "builtins"})
_order = operator.attrgetter("__name__", "__module__")


def model_graph(module: ModuleType, base_name: str = "Base", *, relations: bool = False) -> str:
    """Return the graph of the classes that derive from ``module.{base_name}``, in Graphviz' DOT language.

    A box a class, with its own columns (``[null]`` where nullable) and relationships (``name -> Class``), and an edge
    to each parent class; with ``relations``, foreign keys as dashed edges too.

    Raises:
        ValueError: There is no such name in the module, it is no declarative base, or a class can't be mapped.
    """
    base = getattr(module, base_name, None)
    if base is None:
        raise ValueError(f"module {module.__name__} has no {base_name}: name the declarative base, as in MODULE MyBase")
    if not isinstance(base, type) or not hasattr(base, "registry") or not hasattr(base, "metadata"):
        raise ValueError(f"{module.__name__}.{base_name} is no declarative base of SQLAlchemy")
    try:
        configure_mappers()
    except SQLAlchemyError as error:  # a relationship to nothing, ...
        raise ValueError(f"the classes of {module.__name__} can't be mapped: {error}") from error
    found = {mapper.class_: mapper for mapper in base.registry.mappers if issubclass(mapper.class_, base)}
    mappers = {cls: found[cls] for cls in sorted(found, key=_order)}
    boxes = _boxes(mappers, base)
    counts = Counter(cls.__name__ for cls in boxes)
    names = {
        cls: _escaped(cls.__name__ if counts[cls.__name__] == 1 else f"{cls.__module__}.{cls.__qualname__}")
        for cls in boxes
    }
    lines = []
    for cls, own in boxes.items():
        label = _escaped(cls.__name__) + ("\\n\\n" if own else "") + "".join(f"{_escaped(line)}\\l" for line in own)
        lines.append(f'"{names[cls]}" [label = "{label}"];')
    for cls in boxes:
        parents = (names[parent] for parent in cls.__bases__ if parent in boxes)
        lines += [f'"{names[cls]}" -> "{parent}" [arrowhead = onormal];' for parent in parents]
    for source, target, columns in _foreign_keys(mappers) if relations else ():
        lines.append(f'"{names[source]}" -> "{names[target]}" [label = "{_escaped(columns)}", style = dashed];')
    return _HEAD + "".join(f"  {line}\n" for line in lines) + "}"


def _boxes(mappers: Mapping[type, Mapper[Any]], base: type) -> dict[type, list[str]]:
    """Return the lines of each mapped class, and of each mix-in that one derives from: what it declares itself."""
    found: dict[type, list[str]] = {}
    for cls, mapper in mappers.items():
        lines = dict(_lines(mapper))
        inherited: set[str] = set()
        for parent in cls.__mro__[1:]:
            if issubclass(base, parent) or parent.__module__ in _PLUMBING:
                continue
            if parent in mappers:
                names = set(mappers[parent].attrs.keys())
            else:
                names = {*vars(parent), *vars(parent).get("__annotations__", ())}
                found.setdefault(parent, [line for name, line in lines.items() if name in names])
            inherited |= names
        found[cls] = [line for name, line in lines.items() if name not in inherited]
    return {cls: found[cls] for cls in sorted(found, key=_order)}


def _lines(mapper: Mapper[Any]) -> Iterator[tuple[str, str]]:
    for attribute in mapper.column_attrs:
        nullable = any(getattr(column, "nullable", False) for column in attribute.columns)
        yield attribute.key, f"{attribute.key} [null]" if nullable else attribute.key
    for relationship in mapper.relationships:
        yield relationship.key, f"{relationship.key} -> {relationship.mapper.class_.__name__}"


def _foreign_keys(mappers: Mapping[type, Mapper[Any]]) -> list[tuple[type, type, str]]:
    """Return source, target and columns of foreign keys, but of those that tie a child to its parent."""
    tables: dict[Any, type] = {}
    for cls, mapper in mappers.items():
        # A child in single-table inheritance has its parent's table.
        if mapper.concrete or mapper.inherits is None or mapper.inherits.local_table is not mapper.local_table:
            tables.setdefault(mapper.local_table, cls)
    found = []
    for table, source in tables.items():
        for constraint in getattr(table, "foreign_key_constraints", ()):
            target = tables.get(constraint.referred_table)
            if target is not None and (source is target or not issubclass(source, target)):
                found.append((source, target, ", ".join(constraint.column_keys)))
    return sorted(found, key=lambda key: (key[0].__name__, key[2]))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def generate_model_graph(module: ModuleType, arguments: Sequence[str] | None = None) -> None:
    """Print the graph of a module's classes, as the command line says: ``python models_graph.py [BaseName]``.

    Exits with 2 and one line on standard error where the base is not there.
    """
    main(arguments, module)


def main(arguments: Sequence[str] | None = None, module: ModuleType | None = None) -> None:
    """Run ``c2c-models-graph MODULE [BASE]``; with a module, the same without its first argument."""
    parser = Parser("c2c-db", prog=None if module else "c2c-models-graph")
    parser.description = "Print the ORM classes of a module as a graph (Graphviz DOT)."
    if module is None:
        parser.add_argument("module", metavar="MODULE", help="the module with the models, such as my_service.models")
    parser.add_argument("base", metavar="BASE", nargs="?", default="Base", help="its declarative base (default: Base)")
    parser.add_argument("--relations", action="store_true", help="draw foreign keys as edges")
    parser.add_argument("--svg", action="store_true", help="draw it (SVG), with Graphviz' program dot")
    options = parser.parse_args(arguments)
    try:
        graph = model_graph(module or _imported(options.module), options.base, relations=options.relations)
        print(_drawn(graph) if options.svg else graph)  # noqa: T201 # its output
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {one_line(error)}\n")


def _imported(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 # as with `python -m`: what is in the current folder can be named
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 # whatever the application's module raises
        raise ValueError(f"{name} can't be imported: {type(error).__name__}: {error}") from None


def _drawn(graph: str) -> str:
    program = shutil.which("dot")
    if program is None:
        raise ValueError("--svg needs Graphviz: install it, or leave --svg out")
    drawn = subprocess.run([program, "-Tsvg"], input=graph, capture_output=True, text=True, check=False)  # noqa: S603 # the program that was found
    if drawn.returncode:
        raise ValueError(f"dot: {drawn.stderr.strip()}")
    return drawn.stdout.rstrip("\n")
