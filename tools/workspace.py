"""Know the packages of this repository: their versions, extras, dependencies and files."""

import re
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
DIST = ROOT / "dist"


class RefusedError(Exception):
    """What was asked for can't be done; the text is one line that says why, and what to do."""


@dataclass(frozen=True)
class Package:
    """A package of this repository, by the name of its distribution."""

    name: str

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / "packages" / self.name

    @cached_property
    def project(self) -> dict[str, Any]:
        """The table ``[project]`` of its pyproject.toml."""
        project: dict[str, Any] = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]
        return project

    @property
    def version(self) -> Version:
        """The version that its pyproject.toml says."""
        return Version(self.project["version"])

    @property
    def extras(self) -> list[str]:
        """The extras for users: all but ``test``."""
        return sorted(set(self.project.get("optional-dependencies", {})) - {"test"})

    @property
    def import_names(self) -> list[str]:
        """The names of what is imported of it."""
        return sorted(path.parent.name for path in self.folder.glob("src/*/__init__.py"))

    @property
    def file_name(self) -> str:
        """How the names of its built files begin: ``c2c_health-1.0.0``."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def footprint(self) -> Path:
        """The file that says what installing it brings."""
        return self.folder / "footprint.txt"

    def requirements(self, extra: str = "") -> list[Requirement]:
        """Return what it declares to need, or what its extra does."""
        lines = self.project["optional-dependencies"][extra] if extra else self.project["dependencies"]
        return [Requirement(line) for line in lines]


def packages() -> list[Package]:
    """Return all packages, by name."""
    return [Package(path.parent.name) for path in sorted((ROOT / "packages").glob("*/pyproject.toml"))]


def package(name: str) -> Package:
    """Return the package of this name; ``RefusedError`` names those that are."""
    names = {found.name: found for found in packages()}
    if name not in names:
        raise RefusedError(f"there is no package {name!r}: there are {', '.join(names)}")
    return names[name]


def third_parties(wanted: Iterable[Requirement]) -> list[str]:
    """Return what our packages in ``wanted`` declare to need of others, as pip's requirements, ours followed."""
    ours = {found.name: found for found in packages()}
    seen: set[tuple[str, str]] = set()
    needed: set[str] = set()
    todo = list(wanted)
    while todo:
        requirement = todo.pop()
        if requirement.name not in ours:
            needed.add(str(requirement))
            continue
        for extra in {"", *requirement.extras} - {extra for name, extra in seen if name == requirement.name}:
            seen.add((requirement.name, extra))
            todo += ours[requirement.name].requirements(extra)
    return sorted(needed)


def canonical(name: str) -> str:
    """Return the name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def git(*arguments: str, check: bool = True) -> str:
    """Return what git prints, run at the top; ``RefusedError`` has its complaint."""
    found = subprocess.run(["git", "-C", ROOT, *arguments], check=False, capture_output=True, text=True)
    if check and found.returncode:
        raise RefusedError(f"git {arguments[0]} failed: {' '.join(found.stderr.split())}")
    return found.stdout.rstrip() if not found.returncode else ""


def released(package: Package) -> dict[Version, str]:
    """Return the releases that this revision contains: by version the tag, such as ``c2c-health-v1.0.0``."""
    tags = git("tag", "--list", f"{package.name}-v[0-9]*", "--merged", "HEAD").splitlines()
    return {Version(tag.removeprefix(f"{package.name}-v")): tag for tag in tags}
