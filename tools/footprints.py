"""Write what installing each package brings into its footprint.txt: ``python -m tools.footprints``.

The names of all distributions but its own, one a line, sorted; below ``[extra]`` what this extra adds. Where a
dependency is for some versions of Python only, the line has its marker (PEP 508). ``make test-dist`` installs the
wheels and compares, so that a new dependency is a decision that one sees in a diff.
"""

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from tools.workspace import DIST, ROOT, Package, RefusedError, packages

_HEADER = """\
# What `pip install {name}` brings on Linux, and what each [extra] adds.
# `make footprints` writes this, `make test-dist` compares it with what is installed.
"""
_PYTHONS = ("3.11.2", "3.11.99", "3.12.99", "3.13.99")  # the oldest in use (Debian 12), the newest of each line


def constraints() -> str:
    """Return the tested versions, and ours as they are here, as pip's constraints."""
    ours = "".join(f"{found.name}=={found.version}\n" for found in packages())
    return (ROOT / "constraints.txt").read_text("utf-8") + ours


def read(path: Path) -> dict[str, list[Requirement]]:
    """Return what is in a footprint: by extra (``""`` is the package alone) the distributions with their markers."""
    found: dict[str, list[Requirement]] = {"": []}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(Requirement(line))
    return found


def expected(wanted: Iterable[Requirement], python: str) -> set[str]:
    """Return all that installing our packages ``wanted`` brings to this version of Python, themselves included."""
    names: set[str] = set()
    for requirement in wanted:
        footprint = read(Package(requirement.name).footprint)
        if missing := requirement.extras - footprint.keys():
            raise RefusedError(f"{requirement.name}/footprint.txt has no [{', '.join(missing)}]: make footprints")
        lines = [line for extra in ("", *requirement.extras) for line in footprint[extra]]
        names |= {requirement.name} | {line.name for line in lines if _holds(line.marker, python)}
    return names


def _holds(marker: Marker | None, python: str) -> bool:
    versions = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    return marker is None or marker.evaluate({**versions, "implementation_version": python})


def _resolve(wanted: str) -> dict[str, str]:
    """Return the names of what pip would install on Linux, for any Python, and the line of each in a footprint."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(constraints())
        file.flush()
        options = "--quiet --universal --python-version 3.11 --no-sources --no-header --no-annotate"
        places = ["--find-links", str(DIST), "--constraints", file.name]
        command = [find_uv_bin(), "pip", "compile", *options.split(), *places, "-"]
        found = subprocess.run(command, input=wanted, check=False, capture_output=True, text=True)
    if found.returncode:
        raise RefusedError(f"{wanted} can't be resolved: {' '.join(found.stderr.split())}")
    # A name has several lines where versions of it are for some versions of Python only.
    markers: dict[str, list[Marker | None]] = defaultdict(list)
    for requirement in map(Requirement, found.stdout.splitlines()):
        markers[canonicalize_name(requirement.name)].append(requirement.marker)
    lines = {}
    for name, ways in markers.items():
        holds = [any(_holds(marker, python) for marker in ways) for python in _PYTHONS]
        if any(holds):
            lines[name] = name if all(holds) else f"{name} ; {' or '.join(map(str, ways))}"
    return lines


def main() -> int:
    """Write them all, from the wheels in dist/ and the registry; print what has changed."""
    for package in packages():
        alone = _resolve(package.name)
        text = _HEADER.format(name=package.name)
        text += "".join(f"{line}\n" for name, line in sorted(alone.items()) if name != package.name)
        for extra in package.extras:
            more = _resolve(f"{package.name}[{extra}]")
            text += f"\n[{extra}]\n" + "".join(f"{more[name]}\n" for name in sorted(more.keys() - alone.keys()))
        if not package.footprint.exists() or package.footprint.read_text("utf-8") != text:
            package.footprint.write_text(text, "utf-8")
            sys.stdout.write(f"{package.footprint.relative_to(ROOT)} is new: look at its diff\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RefusedError as error:
        sys.exit(f"footprints: {error}")
