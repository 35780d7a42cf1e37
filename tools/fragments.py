"""Hold that a package whose source changed says so to its users: ``python -m tools.fragments [--base REVISION]``.

A change of ``src/`` since the last release (of the package; with ``--base`` since that revision) comes with
``changelog.d/<issue>.<kind>.md``, which towncrier makes a section of the changelog. Exit 1 where one is missing or has
another name.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.workspace import ROOT, Package, RefusedError, git, packages, released

KINDS = ("fixed", "changed", "added", "removed")
"""What a fragment may tell; towncrier.toml has them too. From "added" on a release is more than a patch."""


def fragments(package: Package) -> list[Path]:
    """Return the package's fragments."""
    return sorted((package.folder / "changelog.d").glob("[!.]*"))


def complaints(package: Package, base: str | None) -> Iterator[str]:
    """Give what is wrong with a package's fragments, and what to write."""
    name = f"<issue>.<{'|'.join(KINDS)}>.md"
    for path in fragments(package):
        if not path.name.endswith(tuple(f".{kind}.md" for kind in KINDS)) or not path.read_text("utf-8").strip():
            yield f"{path.relative_to(ROOT)}: name it {name}, and write sentences that a user can act on"
    tags = released(package)
    since = base or (tags[max(tags)] if tags else None)
    changed = since is None or _changed(package.folder / "src", since)
    if changed and not (fragments(package) and (base is None or _changed(package.folder / "changelog.d", base))):
        yield f"{package.name}: src/ has changed since {since or 'ever'}: write changelog.d/{name}"


def _changed(place: Path, since: str) -> bool:
    """Tell whether files below a folder differ from a revision, those that git does not know yet included."""
    known = git("diff", "--name-only", since, "--", str(place))
    return bool(known or git("ls-files", "--others", "--exclude-standard", "--", str(place)))


def main() -> int:
    """Print what is wrong, a line each; 1 where something is."""
    parser = argparse.ArgumentParser(prog="fragments", description="Check that changed packages have fragments.")
    parser.add_argument("--base", help="a revision: what changed since it has a fragment that is newer, too")
    base = parser.parse_args().base
    base = git("merge-base", base, "HEAD") if base else None
    found = [line for package in packages() for line in complaints(package, base)]
    sys.stderr.writelines(f"{line}\n" for line in found)
    return int(bool(found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RefusedError as error:
        sys.stderr.write(f"fragments: {error}\n")
        sys.exit(2)
