"""Compare what two versions of a package promise: names, signatures, commands, entry points, extras.

Names are public as griffe sees it: those of ``__all__``, and where a module has none, all that do not begin with ``_``
and are not imported. Modules that begin with ``_`` are not public themselves.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

from tools.fragments import Level

# What griffe finds that breaks nobody who calls what is public; removed names are found here, with those added.
_NOT_MAJOR = {
    griffe.BreakageKind.PARAMETER_CHANGED_DEFAULT: Level.MINOR,
    griffe.BreakageKind.ATTRIBUTE_CHANGED_VALUE: Level.MINOR,
}


def changes(old: Path, new: Path) -> list[tuple[Level, str]]:
    """Return what differs between two states of a package's folder, and what each asks of the version, most first."""
    found = _differences(_declared(old), _declared(new))
    for name in sorted({path.parent.name for folder in (old, new) for path in folder.glob("src/*/__init__.py")}):
        before, after = _module(old / "src", name), _module(new / "src", name)
        found += _differences(_names(before), _names(after))
        if before is not None and after is not None:
            found += _breakages(before, after)
    return sorted(set(found), key=lambda change: (-change[0], change[1]))


def _differences(old: set[str], new: set[str]) -> list[tuple[Level, str]]:
    removed = [(Level.MAJOR, f"{name} was removed") for name in old - new if not name.endswith(")")]
    return removed + [(Level.MINOR, f"{name} was added") for name in new - old]


def _breakages(old: griffe.Object, new: griffe.Object) -> Iterator[tuple[Level, str]]:
    """Yield what griffe says will break, but for removed names."""
    for breakage in griffe.find_breaking_changes(old, new):
        if breakage.kind is not griffe.BreakageKind.OBJECT_REMOVED:
            said = (
                next(iter(breakage.explain(griffe.ExplanationStyle.MARKDOWN).splitlines()), "").strip("- ").rstrip(":")
            )
            yield _NOT_MAJOR.get(breakage.kind, Level.MAJOR), f"{breakage.obj.path}: {said}"


def _module(source: Path, name: str) -> griffe.Module | None:
    """Return the package that is imported by this name, read, not imported; None where it is not there."""
    if not (source / name / "__init__.py").exists():
        return None
    loader = griffe.GriffeLoader(search_paths=[source], allow_inspection=False)
    found = loader.load(name)
    loader.resolve_aliases(implicit=False, external=False)
    assert isinstance(found, griffe.Module), name
    return found


def _names(module: griffe.Module | None) -> set[str]:
    """Return all public names of a package, and the parameters of its functions as ``name(parameter)``."""
    return set(_names_in(module, module.path)) if module is not None else set()


def _names_in(found: griffe.Object | griffe.Alias, path: str) -> Iterator[str]:
    yield path
    if found.is_alias and not found.resolved:  # type: ignore[union-attr]
        return
    if found.is_function:
        yield from (f"{path}({parameter.name})" for parameter in found.parameters)  # type: ignore[union-attr]
    if found.is_module:
        # A package that imports its names when they are asked for has some that are in no statement.
        yield from (f"{path}.{name}" for name in found.exports or () if isinstance(name, str))
    if found.is_module or found.is_class:
        for name, member in found.all_members.items():
            if member.is_public and not member.is_special:
                yield from _names_in(member, f"{path}.{name}")


def _declared(folder: Path) -> set[str]:
    """Return what a package's pyproject.toml promises: commands, entry points, extras."""
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    names = {f"the command {name}" for name in project.get("scripts", {})}
    names |= {f"the extra [{name}]" for name in project.get("optional-dependencies", {}) if name != "test"}
    for group, points in project.get("entry-points", {}).items():
        names |= {f"the entry point {name} of {group}" for name in points}
    return names
