"""Draw the ORM classes of an application: ``generate_model_graph(module)`` and ``c2c-models-graph``."""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from c2c_db._graph import boxes, dot, foreign_keys, mappers_of

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
