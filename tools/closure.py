"""Print the pip arguments that install one package of this repository with its tests' needs, from source.

``python tools/closure.py c2c-health`` prints ``-e``, ``.../c2c-broadcast``, ``-e``, ``.../c2c-health[test]``, a
line each: the package and those of our own that it declares, directly or not. The rest is the registry's.
"""

import re
import sys
import tomllib
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent.parent / "packages"
_REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(?:\[([^\]]*)\])?")


def closure(package: str, extras: frozenset[str] = frozenset({"test"})) -> set[str]:
    """Return the names of our packages that installing ``package[extras]`` needs, itself included."""
    found: set[tuple[str, str]] = set()
    todo = [(package, extra) for extra in ("", *extras)]
    while todo:
        wanted = todo.pop()
        name, extra = wanted
        if wanted in found or not (PACKAGES / name).is_dir():
            continue
        found.add(wanted)
        project = tomllib.loads((PACKAGES / name / "pyproject.toml").read_text())["project"]
        lines = project["optional-dependencies"].get(extra, []) if extra else project["dependencies"]
        for line in lines:
            match = _REQUIREMENT.match(line)
            assert match, line
            todo += [(match[1], part.strip()) for part in ["", *(match[2] or "").split(",")]]
    return {name for name, _ in found}


def main() -> int:
    """Print the arguments for the package named on the command line."""
    package = sys.argv[1]
    if not (PACKAGES / package).is_dir():
        sys.stderr.write(f"No package {package}: there are {', '.join(sorted(p.name for p in PACKAGES.iterdir()))}\n")
        return 2
    for name in sorted(closure(package)):
        extra = "[test]" if name == package else ""
        sys.stdout.write(f"-e\n{PACKAGES / name}{extra}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
