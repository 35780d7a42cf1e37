"""``c2c-genversion [GIT_TAG] GIT_HASH``: write ``versions.json`` in the current folder."""

import argparse
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_FILE = "versions.json"


class GenversionError(Exception):
    """There is nothing to write; the message is one line with the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; return 0, or 2 after one line where that can't be."""
    parser = argparse.ArgumentParser(
        prog="c2c-genversion",
        usage="%(prog)s [[GIT_TAG] GIT_HASH]",
        description=f"Write {_FILE} in the current folder: the version of the service and of all installed packages. "
        "Without arguments git is asked.",
    )
    parser.add_argument("versions", nargs="*", metavar="GIT_TAG GIT_HASH", help=argparse.SUPPRESS)
    given = parser.parse_args(argv).versions
    try:
        tag, git_hash = _given(given) if given else _from_git()
        content = {"main": service(git_hash, tag), "packages": packages(importlib.metadata.distributions())}
        Path(_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except (GenversionError, OSError) as error:
        sys.stderr.write(f"c2c-genversion: {error}\n")
        return 2
    return 0


def service(git_hash: str, git_tag: str | None) -> dict[str, str]:
    """Return the part about the service; without a tag there is no ``git_tag`` in it."""
    return {"git_hash": git_hash, **({"git_tag": git_tag} if git_tag else {})}


def packages(distributions: Iterable[Any]) -> dict[str, str]:
    """Return name -> version of these distributions; of several of one name the first, which is what is imported."""
    found: dict[str, str] = {}
    for distribution in distributions:
        # What a crashed installation left has neither, or no metadata at all, which newer Pythons say and older raise.
        try:
            metadata = distribution.metadata
        except (TypeError, FileNotFoundError):
            continue
        name, version = (metadata.get("Name"), metadata.get("Version")) if metadata else (None, None)
        if name and version:
            found.setdefault(name, version)
    return found


def _given(words: Sequence[str]) -> tuple[str | None, str]:
    if len(words) > 2:  # noqa: PLR2004 # a tag and a hash
        raise GenversionError(f"{len(words)} arguments: give a tag and a hash, or a hash, or nothing")
    tag, git_hash = (None, *words) if len(words) == 1 else words
    if not git_hash:
        raise GenversionError("GIT_HASH is empty: give the commit's hash, or nothing to ask git")
    return tag or None, git_hash


def _from_git() -> tuple[str | None, str]:
    git_hash = _git("rev-parse", "HEAD")
    if git_hash is None:
        raise GenversionError("git knows no commit here: run it in the work tree, or give the hash")
    return _git("describe", "--tags", "--exact-match", "HEAD"), git_hash


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 # the arguments are the ones above
            ["git", *arguments],  # noqa: S607 # whichever git the image has
            capture_output=True,
            check=False,
            text=True,
        )
    except OSError:
        raise GenversionError("there is no git: give the hash") from None
    return done.stdout.strip() or None if done.returncode == 0 else None
