"""From mapped classes to a graph in Graphviz' DOT language: data in, text out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

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
