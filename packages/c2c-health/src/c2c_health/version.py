"""``versions.json``: which version of a service this is, the check of it, and ``c2c-genversion``, which writes it."""

import argparse
import importlib.metadata
import json
import logging
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from pyramid.config import Configurator

from c2c_broadcast import ConfigurationError, broadcast, load
from c2c_broadcast.command import Parser
from c2c_broadcast.settings import warn_once
from c2c_health._check import DEFAULT_TIMEOUT, Check, Degraded, JsonCheckException, Options, VersionSeen
from c2c_health._settings import HealthSettings
from c2c_health.checks import Kind

__all__ = ["get_version"]

_LOG = logging.getLogger(__name__)
_LARGEST = 4 * 1024 * 1024  # characters; what is longer is cut, which JSON notices
_FILE = "versions.json"
_PART = 0.6  # of the check's deadline: what is missing is named before it is over


@dataclass(frozen=True, slots=True)
class Versions:
    """What ``versions.json`` says: ``content`` is all of it, ``git_hash`` and ``git_tag`` are of the service."""

    content: Mapping[str, Any]
    git_hash: str
    git_tag: str | None = None

    def __str__(self) -> str:
        text = f"{self.git_tag} ({self.git_hash})" if self.git_tag else self.git_hash
        return "".join(letter if letter.isprintable() else "?" for letter in text)[:400]


def read(path: str) -> Versions | None:
    """Return what the file says; None where there is none, or, with an error in the log, where it is broken."""
    try:
        with Path(path).open(encoding="utf-8") as opened:
            content = json.loads(opened.read(_LARGEST))
        main = content.get("main") if isinstance(content, dict) else None
        git_hash, tag = (main.get("git_hash"), main.get("git_tag")) if isinstance(main, dict) else (None, None)
        if not isinstance(git_hash, str) or not git_hash.strip() or not isinstance(tag, str | None):
            raise ValueError('it has no "main": {"git_hash": "...", "git_tag": "..."}')  # noqa: TRY301 # said with the others
        return Versions(content, git_hash, tag or None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # a folder, as docker makes one for a mount of no file
        said = "The version file %s can't be used: %s. Write it with c2c-genversion"
        warn_once(_LOG, said, path, error, level=logging.ERROR)
        return None


def get_version(settings: Mapping[str, Any] | None = None) -> str | None:
    """Return the git hash in the version file, if any (``C2C_VERSIONS_PATH``, or an ini's ``settings``).

    Raises:
        ConfigurationError: A setting can't be read.
    """
    found = read(load(HealthSettings, settings or {}).versions_path)
    return found.git_hash if found else None


def channel(what: str, registry: Any) -> str:
    """Return the broadcast channel on which the processes of an application tell their version, or their report."""
    return f"c2c_health_{what} {registry.package_name}"


class VersionChecks(Kind):
    """Adds checks of the version."""

    _config: Configurator
    tell: Callable[[Any], None]

    def add_version_check(self, name: str = "version", level: int = 2, **options: Unpack[Options]) -> None:
        """Check that all processes of the service run one version: ``{"version": hash, "count": processes}``.

        It is there by itself where there is a version file; this is to have it under another name or level.
        """

        def run(_request: Any) -> Any:
            seconds = options.get("timeout", DEFAULT_TIMEOUT) * _PART
            answers = broadcast.ask(channel("version", self._config.registry), timeout=seconds)
            found: defaultdict[str, list[str]] = defaultdict(list)
            for answer in answers.answers:
                if isinstance(answer, Mapping):
                    found[str(answer.get("git_hash"))].append(f"{answer.get('hostname')}/{answer.get('pid')}")
            for version, names in found.items():
                self.tell(VersionSeen(version, len(names)))
            if not found:
                raise JsonCheckException("no process told its version: the version file is missing or broken")
            if len(found) > 1:
                versions = dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))
                counts = ", ".join(f"{version} ({len(names)})" for version, names in versions.items())
                raise JsonCheckException(f"{len(found)} versions run: {counts}", {"versions": versions})
            result = {"version": version, "count": len(names)}
            silent: list[Any] = [*answers.failed, *answers.missing, *answers.late]
            if silent:
                raise Degraded(f"no answer from {', '.join(f'{one.hostname}/{one.pid}' for one in silent)}", result)
            if not answers.complete:
                why = "Redis is away" if broadcast.health().error else "the log says why"
                raise Degraded(f"the other processes can't be asked: {why}", result)
            return result

        self.add(Check(name=name, run=run, level=level, kind="version", **options))


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
        tag, git_hash = _asked(given)
        main = {"git_hash": git_hash, **({"git_tag": tag} if tag else {})}
        content = {"main": main, "packages": packages(importlib.metadata.distributions())}
        Path(_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except (ConfigurationError, OSError) as error:
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


def _asked(words: Sequence[str]) -> tuple[str, str]:
    """Return tag and hash: what is given, else what git says."""
    if len(words) > 2:  # noqa: PLR2004 # a tag and a hash
        raise ConfigurationError(f"{len(words)} arguments: give a tag and a hash, or a hash, or nothing")
    if words:
        tag, git_hash = ("", *words)[-2:]
    else:
        tag, git_hash = _git("describe", "--tags", "--exact-match", "HEAD"), _git("rev-parse", "--verify", "HEAD")
    if not git_hash:
        raise ConfigurationError(
            "GIT_HASH is empty: give the commit's hash, or nothing to ask git"
            if words
            else "git knows no commit here: run it in the work tree, or give the hash"
        )
    return tag, git_hash


def _git(*arguments: str) -> str:
    command = ["git", *arguments]  # whichever git the image has
    try:
        return subprocess.run(command, capture_output=True, check=False, text=True).stdout.strip()  # noqa: S603 # as above
    except OSError:
        raise ConfigurationError("there is no git: give the hash") from None
