"""Draw the ORM classes of an application: ``generate_model_graph(module)`` and ``c2c-models-graph``."""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, configure_mappers


@dataclass(frozen=True, slots=True)
class Box:
    """A class: its own columns (marked ``[null]``) and relationships (marked ``->``), one text each."""

    cls: type
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key between the tables of two classes, with the names of its columns."""

    source: type
    target: type
    columns: str


def mappers_of(base: Any) -> list[Mapper[Any]]:
    """Return the mappers of the classes that derive from a declarative base, by class name."""
    configure_mappers()
    found = (mapper for mapper in base.registry.mappers if issubclass(mapper.class_, base))
    return sorted(found, key=lambda mapper: (mapper.class_.__name__, mapper.class_.__module__))


def boxes(mappers: Iterable[Mapper[Any]], base: type) -> list[Box]:
    """Return a box for each class, and for each class beside the base that they derive from (mix-ins)."""
    found: dict[type, Box] = {}
    mappers = list(mappers)
    mapped = {mapper.class_ for mapper in mappers}
    for mapper in mappers:
        parents = [cls for cls in mapper.class_.__mro__[1:] if _is_shown(cls, base)]
        inherited = {name for parent in parents for name in _names(parent, mapper, mapped)}
        found[mapper.class_] = Box(mapper.class_, tuple(_lines(mapper, lambda name, less=inherited: name not in less)))
        for parent in parents:
            if parent not in mapped and parent not in found:
                names = _names(parent, mapper, mapped)
                found[parent] = Box(parent, tuple(_lines(mapper, names.__contains__)))
    return sorted(found.values(), key=lambda box: (box.cls.__name__, box.cls.__module__))


def foreign_keys(mappers: Iterable[Mapper[Any]]) -> list[ForeignKey]:
    """Return the foreign keys between the tables of these classes, but not those that tie a child to its parent."""
    mappers = list(mappers)
    by_table = {mapper.local_table: mapper.class_ for mapper in reversed(mappers) if mapper.concrete or _owns(mapper)}
    found = []
    for table, source in by_table.items():
        for constraint in getattr(table, "foreign_key_constraints", ()):
            target = by_table.get(constraint.referred_table)
            if target is not None and not (source is not target and issubclass(source, target)):
                found.append(ForeignKey(source, target, ", ".join(constraint.column_keys)))
    return sorted(found, key=lambda key: (key.source.__name__, key.columns))


def dot(shown: Iterable[Box], keys: Iterable[ForeignKey], base: type) -> str:
    """Return the graph as text: what Graphviz and a dot block of Doxygen's read."""
    shown = list(shown)
    names = _node_names(shown)
    lines = ["digraph models {", "  rankdir = BT;", "  node [shape = box, fontname = Helvetica, fontsize = 10];"]
    lines.append("  edge [fontname = Helvetica, fontsize = 9];")
    for box in shown:
        text = "".join(f"{_escaped(line)}\\l" for line in box.lines)
        label = f"{_escaped(box.cls.__name__)}\\n\\n{text}" if text else _escaped(box.cls.__name__)
        lines.append(f'  "{names[box.cls]}" [label = "{label}"];')
    for box in shown:
        lines += [
            f'  "{names[box.cls]}" -> "{names[parent]}" [arrowhead = onormal];'
            for parent in box.cls.__bases__
            if _is_shown(parent, base) and parent in names
        ]
    for key in keys:
        label = _escaped(key.columns)
        lines.append(f'  "{names[key.source]}" -> "{names[key.target]}" [label = "{label}", style = dashed];')
    return "\n".join([*lines, "}"])


def _is_shown(cls: type, base: type) -> bool:
    return cls is not base and not issubclass(base, cls) and cls.__module__ not in {"typing", "abc", "builtins"}


def _names(cls: type, mapper: Mapper[Any], mapped: set[type]) -> set[str]:
    """Return the names that a parent declares: a mapped one its attributes, a mix-in what is written in it."""
    if cls in mapped:
        parent = next(one for one in mapper.iterate_to_root() if one.class_ is cls)
        return {attribute.key for attribute in parent.attrs}
    return {*vars(cls), *vars(cls).get("__annotations__", {})}


def _lines(mapper: Mapper[Any], wanted: Any) -> Iterator[str]:
    for attribute in mapper.column_attrs:
        if wanted(attribute.key):
            nullable = any(getattr(column, "nullable", False) for column in attribute.columns)
            yield f"{attribute.key} [null]" if nullable else attribute.key
    for relationship in mapper.relationships:
        if wanted(relationship.key):
            yield f"{relationship.key} -> {relationship.mapper.class_.__name__}"


def _owns(mapper: Mapper[Any]) -> bool:
    """Tell whether a class has a table of its own: a child in single-table inheritance has its parent's."""
    return mapper.inherits is None or mapper.inherits.local_table is not mapper.local_table


def _node_names(shown: Iterable[Box]) -> dict[type, str]:
    """Return short names where they are unique, else with the module."""
    classes = [box.cls for box in shown]
    short = [cls.__name__ for cls in classes]
    return {
        cls: _escaped(cls.__name__ if short.count(cls.__name__) == 1 else f"{cls.__module__}.{cls.__qualname__}")
        for cls in classes
    }


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


__all__ = ["generate_model_graph", "main", "model_graph"]


def model_graph(module: ModuleType, base_name: str = "Base", *, relations: bool = False) -> str:
    """Return the graph of the classes that derive from ``module.{base_name}``, in Graphviz' DOT language.

    A box a class, with its own columns (``[null]`` where nullable) and relationships (``name -> Class``), and an edge
    to each parent class; with ``relations``, foreign keys as dashed edges too.

    Raises:
        ValueError: There is no such name in the module, or it is no declarative base.
    """
    base = getattr(module, base_name, None)
    if base is None:
        raise ValueError(f"module {module.__name__} has no {base_name}: name the declarative base, as in MODULE MyBase")
    if not isinstance(base, type) or not hasattr(base, "registry") or not hasattr(base, "metadata"):
        raise ValueError(f"{module.__name__}.{base_name} is no declarative base of SQLAlchemy")
    mappers = mappers_of(base)
    return dot(boxes(mappers, base), foreign_keys(mappers) if relations else (), base)


def generate_model_graph(module: ModuleType, arguments: Sequence[str] | None = None) -> None:
    """Print the graph of a module's classes, as the command line says: ``python models_graph.py [BaseName]``.

    Exits with 2 and one line on standard error where the base is not there.
    """
    parser = argparse.ArgumentParser(description="Print the ORM classes as a graph (Graphviz DOT).")
    _add_arguments(parser)
    _print(module, parser.parse_args(arguments), parser)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``c2c-models-graph MODULE [BASE]``."""
    parser = argparse.ArgumentParser(
        prog="c2c-models-graph", description="Print the ORM classes of a module as a graph (Graphviz DOT)."
    )
    parser.add_argument("module", metavar="MODULE", help="the module with the models, such as my_service.models")
    _add_arguments(parser)
    options = parser.parse_args(arguments)
    # As with `python -m`: what is in the current folder can be named.
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 # sys.path holds texts
    try:
        module = importlib.import_module(options.module)
    except Exception as error:  # noqa: BLE001 # whatever the application's module raises
        _fail(parser, f"{options.module} can't be imported: {type(error).__name__}: {error}")
    _print(module, options, parser)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", nargs="?", default="Base", help="its declarative base (default: Base)")
    parser.add_argument("--relations", action="store_true", help="draw foreign keys as edges")
    parser.add_argument("--svg", action="store_true", help="draw it (SVG), with Graphviz' program dot")


def _print(module: ModuleType, options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    try:
        graph = model_graph(module, options.base, relations=options.relations)
    except ValueError as error:
        _fail(parser, str(error))
    except SQLAlchemyError as error:  # a relationship to nothing, ...
        _fail(parser, f"the classes of {module.__name__} can't be mapped: {error}")
    if options.svg:
        program = shutil.which("dot")
        if program is None:
            _fail(parser, "--svg needs Graphviz: install it, or leave --svg out")
        drawn = subprocess.run([program, "-Tsvg"], input=graph, capture_output=True, text=True, check=False)  # noqa: S603 # the program that was found
        if drawn.returncode:
            _fail(parser, f"dot: {drawn.stderr.strip()}")
        graph = drawn.stdout.rstrip("\n")
    print(graph)  # noqa: T201 # its output


def _fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    first = message.strip().partition("\n")[0]
    sys.stderr.write(f"{parser.prog}: error: {first}\n")
    sys.exit(2)
