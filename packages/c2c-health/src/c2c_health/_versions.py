"""``versions.json``: which version of a service this is."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_LOG = logging.getLogger(__name__)
_LARGEST = 4 * 1024 * 1024  # characters; what is longer is cut, which JSON notices


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
        git_hash = main.get("git_hash") if isinstance(main, dict) else None
        if not isinstance(git_hash, str) or not git_hash.strip():
            raise ValueError('it has no "main": {"git_hash": "..."}')
        tag = main.get("git_tag") if isinstance(main, dict) else None
        if tag is not None and not isinstance(tag, str):
            raise ValueError('its "git_tag" is no text')
        return cls(content, git_hash, tag or None)


def read(path: str) -> Versions | None:
    """Return what the file says; None where there is none, or, with an error in the log, where it is broken."""
    file = Path(path)
    try:
        if not file.exists():
            return None
        if not file.is_file():  # a folder, as docker makes one for a mount of a file that is not there
            raise ValueError("it is no file")  # noqa: TRY301 # as what parse says
        with file.open(encoding="utf-8") as opened:
            return Versions.parse(opened.read(_LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        _LOG.error(  # the cause is the file, a stack tells nothing
            "The version file %s can't be used: %s. Write it with c2c-genversion", path, error
        )
        return None


def log_start(versions: Versions) -> None:
    """Say which version starts."""
    if versions.git_tag:
        _LOG.warning("Starting version %s (%s)", _printable(versions.git_tag), _printable(versions.git_hash))
    else:
        _LOG.warning("Starting version %s", _printable(versions.git_hash))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
