"""``versions.json``: which version of a service this is, and ``c2c-genversion``, which writes it."""

import argparse
import importlib.metadata
import json
import logging
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from c2c_broadcast import load
from c2c_broadcast.command import Parser
from c2c_health._settings import HealthSettings

__all__ = ["get_version"]

_LOG = logging.getLogger(__name__)
_LARGEST = 4 * 1024 * 1024  # characters; what is longer is cut, which JSON notices
_FILE = "versions.json"


@dataclass(frozen=True, slots=True)
class Versions:
    """What ``versions.json`` says: ``content`` is all of it, ``git_hash`` and ``git_tag`` are of the service."""

    content: Mapping[str, Any]
    git_hash: str
    git_tag: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of the file.

        Raises:
            ValueError: It is not what c2c-genversion writes; the message says why.
        """
        content = json.loads(text)
        main = content.get("main") if isinstance(content, dict) else None
        git_hash, tag = (main.get("git_hash"), main.get("git_tag")) if isinstance(main, dict) else (None, None)
        if not isinstance(git_hash, str) or not git_hash.strip():
            raise ValueError('it has no "main": {"git_hash": "..."}')
        if tag is not None and not isinstance(tag, str):
            raise ValueError('its "git_tag" is no text')
        return cls(content, git_hash, tag or None)

    def __str__(self) -> str:
        text = f"{self.git_tag} ({self.git_hash})" if self.git_tag else self.git_hash
        return "".join(letter if letter.isprintable() else "?" for letter in text)[:400]


def read(path: str) -> Versions | None:
    """Return what the file says; None where there is none, or, with an error in the log, where it is broken."""
    try:
        with Path(path).open(encoding="utf-8") as opened:
            return Versions.parse(opened.read(_LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # a folder, as docker makes one for a mount of no file
        _LOG.error(  # the cause is the file, a stack tells nothing
            "The version file %s can't be used: %s. Write it with c2c-genversion", path, error
        )
        return None


def get_version(settings: Mapping[str, Any] | None = None) -> str | None:
    """Return the git hash in the version file; None where there is no file, or, with an error in the log, a broken one.

    Which file it is ``C2C_VERSIONS_PATH`` says, or ``c2c.versions_path`` in the ini ``settings``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    found = read(load(HealthSettings, settings or {}).versions_path)
    return found.git_hash if found else None


class GenversionError(Exception):
    """There is nothing to write; the message is one line with the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; return 0, or 2 after one line where that can't be."""
    parser = Parser(
        "c2c-health",
        prog="c2c-genversion",
        usage="%(prog)s [[GIT_TAG] GIT_HASH]",
        description=f"Write {_FILE} in the current folder: the version of the service and of all installed packages. "
        "Without arguments git is asked.",
    )
    parser.add_argument("versions", nargs="*", metavar="GIT_TAG GIT_HASH", help=argparse.SUPPRESS)
    given = parser.parse_args(argv).versions
    try:
        tag, git_hash = _given(given) if given else _from_git()
        main = {"git_hash": git_hash, **({"git_tag": tag} if tag else {})}
        content = {"main": main, "packages": packages(importlib.metadata.distributions())}
        Path(_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except (GenversionError, OSError) as error:
        sys.stderr.write(f"c2c-genversion: {error}\n")
        return 2
    return 0


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


def _given(words: Sequence[str]) -> tuple[str, str]:
    if len(words) > 2:  # noqa: PLR2004 # a tag and a hash
        raise GenversionError(f"{len(words)} arguments: give a tag and a hash, or a hash, or nothing")
    if not words[-1]:
        raise GenversionError("GIT_HASH is empty: give the commit's hash, or nothing to ask git")
    return words[0] if words[1:] else "", words[-1]


def _from_git() -> tuple[str, str]:
    git_hash = _git("rev-parse", "HEAD")
    if not git_hash:
        raise GenversionError("git knows no commit here: run it in the work tree, or give the hash")
    return _git("describe", "--tags", "--exact-match", "HEAD"), git_hash


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 # the arguments are the ones above
            ["git", *arguments],  # noqa: S607 # whichever git the image has
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
    except subprocess.CalledProcessError:
        return ""
    except OSError:
        raise GenversionError("there is no git: give the hash") from None
