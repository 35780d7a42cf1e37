"""Know the packages of this repository: their versions, extras, dependencies and files."""

import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
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

    @property
    def footprint(self) -> Path:
        """The file that says what installing it brings."""
        return self.folder / "footprint.txt"

    @cached_property
    def project(self) -> dict[str, Any]:
        """The table ``[project]`` of its pyproject.toml."""
        return dict(tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"])

    @property
    def version(self) -> Version:
        """The version that its pyproject.toml says."""
        return Version(self.project["version"])

    @property
    def extras(self) -> list[str]:
        """The extras for users: all but ``test``."""
        return sorted(set(self.project.get("optional-dependencies", {})) - {"test"})

    @property
    def file_name(self) -> str:
        """How the names of its built files begin: ``c2c_health-1.0.0``."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    def requirements(self, extra: str = "") -> list[Requirement]:
        """Return what it declares to need, or what its extra does."""
        lines = self.project["optional-dependencies"][extra] if extra else self.project["dependencies"]
        return [Requirement(line) for line in lines]


def packages() -> list[Package]:
    """Return all packages, by name."""
    return [Package(path.parent.name) for path in sorted((ROOT / "packages").glob("*/pyproject.toml"))]


def third_parties(wanted: Iterable[Requirement]) -> Iterator[str]:
    """Give what our packages in ``wanted`` declare to need of others, as pip's requirements, ours followed."""
    for requirement in wanted:
        package = Package(requirement.name)
        if package.folder.is_dir():
            for extra in ("", *requirement.extras):
                yield from third_parties(package.requirements(extra))
        else:
            yield str(requirement)


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
