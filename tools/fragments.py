"""Hold that a package whose source changed says so to its users: ``python -m tools.fragments [--base REVISION]``.

A change of ``src/`` comes with ``changelog.d/<issue>.<kind>.md`` (or, without an issue, a word in its place). It is
looked at since the package's last release, the work tree and new files included; with ``--base`` (a revision, such as
``origin/main``) since that one as well, where a fragment of an earlier change does not count. Releases are known by
their tags, and in a clone without tags by the last change of the changelog; a shallow clone sees as far as it goes.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tools.workspace import ROOT, Package, RefusedError, git, packages, released

_NAME = re.compile(r"([a-z0-9-]+)\.([a-z]+)\.md")
_SHOWN = 3


class Level(IntEnum):
    """The part of a version that a change asks for."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


KINDS = {"added": Level.MINOR, "changed": Level.PATCH, "fixed": Level.PATCH, "removed": Level.MAJOR}
"""What a fragment may tell, in the order of the changelog, and the least that it asks of the version."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a change means to users."""

    path: Path
    issue: str
    kind: str
    text: str


def fragments(package: Package) -> list[Fragment]:
    """Return the package's fragments by kind and issue; ``RefusedError`` names one that can't be read."""
    found = []
    for path in sorted((package.folder / "changelog.d").glob("[!.]*")):
        shown = path.relative_to(ROOT)
        match = _NAME.fullmatch(path.name)
        if not match or match[2] not in KINDS:
            raise RefusedError(
                f"{shown}: the name of a fragment is <issue>.<{'|'.join(KINDS)}>.md, such as 12.fixed.md"
            )
        text = path.read_text("utf-8").strip()
        if not text or text.startswith("#"):
            raise RefusedError(f"{shown}: write one or two sentences that a user can act on, without a heading")
        found.append(Fragment(path, match[1], match[2], text))
    return sorted(found, key=lambda fragment: (list(KINDS).index(fragment.kind), fragment.issue))


def changed(folder: Path, since: str) -> list[str]:
    """Return the files below a folder that differ from a revision, those that git does not know yet included."""
    place = str(folder.relative_to(ROOT))
    known = git("diff", "--name-only", since, "--", place)
    new = git("ls-files", "--others", "--exclude-standard", "--", place)
    return sorted({*known.splitlines(), *new.splitlines()})


def _last_release(package: Package) -> str | None:
    """Return the revision of the last release; None before the first."""
    tags = released(package)
    if tags:
        return tags[max(tags)]
    if re.search(r"^## ", (package.folder / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        return git("log", "-1", "--format=%H", "--", f"packages/{package.name}/CHANGELOG.md") or "HEAD"
    return None


def complaint(package: Package, base: str | None = None) -> str | None:
    """Return what is wrong with a package's fragments and what to write; None where all is well."""
    here = fragments(package)
    since = _last_release(package)
    source = package.folder / "src"
    files = changed(source, since) if since else [str(path.relative_to(ROOT)) for path in source.glob("*/*.py")]
    if base is not None and (here or not files):
        since = base
        files = changed(source, base)
        new = changed(package.folder / "changelog.d", base)
        here = [fragment for fragment in here if str(fragment.path.relative_to(ROOT)) in new]
    if here or not files:
        return None
    names = ", ".join(Path(file).name for file in files[:_SHOWN]) + (", ..." if len(files) > _SHOWN else "")
    return (
        f"{package.name}: src/ has changed since {since or 'ever'} ({names}): write "
        f"packages/{package.name}/changelog.d/<issue>.<{'|'.join(KINDS)}>.md, one or two sentences a user can act on"
    )


def main(arguments: list[str]) -> int:
    """Print what is wrong, a line a package; 1 where something is."""
    parser = argparse.ArgumentParser(prog="fragments", description="Check that changed packages have fragments.")
    parser.add_argument("--base", help="a revision: what changed since it has a fragment that is newer, too")
    base = parser.parse_args(arguments).base or None
    if not git("rev-parse", "--verify", "--quiet", "HEAD", check=False):
        sys.stderr.write("No git history here: whether changes have fragments can't be checked\n")
        return 0
    if base is not None:
        base = git("merge-base", base, "HEAD")
    complaints = [complaint(package, base) for package in packages()]
    sys.stderr.writelines(f"{line}\n" for line in complaints if line)
    return int(any(complaints))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except RefusedError as error:
        sys.stderr.write(f"fragments: {error}\n")
        sys.exit(2)
