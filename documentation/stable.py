"""What differs from machine to machine, said as if it were always the same; and long answers, cut."""

import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from documentation.pages import ROOT

_THREAD = re.compile(r"\((\d{9,})\)")
_ID = re.compile(r"\bid \d{9,}")
_OBJECT = re.compile(r"0x[0-9a-f]{6,}")
_MEMBERS = 6
_ELEMENTS = 2
_SCALARS = 4
_LINES = 10
_WIDTH = 240


def names_here(addresses: Mapping[str, str], pids: Mapping[int, int]) -> list[tuple[re.Pattern[str], str]]:
    """Return what is replaced, in this order: addresses, folders, hosts and process ids of this machine."""
    found = [(re.compile(re.escape(here)), there) for here, there in addresses.items()]
    folders = {
        str(ROOT / "acceptance_tests" / "app"): "/app",
        str(ROOT / "packages"): "/packages",
        sys.prefix: "/venv",
        sys.base_prefix: "/usr",
        str(ROOT): "/app",
        str(Path.home()): "/home",
    }
    found += [(re.compile(re.escape(here) + r"\b"), there) for here, there in folders.items() if len(here) > 1]
    # The name of a check of migrations has its ini file's path.
    found += [(re.compile(re.escape("_".join((ROOT / "acceptance_tests" / "app").parts[1:]))), "app")]
    found += [(re.compile(r"/python3\.\d+\b"), "/python3")]
    hosts = sorted({socket.getfqdn(), socket.gethostname()}, key=len, reverse=True)
    # A machine that is called "localhost": what the client called by that name is left.
    found += [(re.compile(rf"\b{re.escape(host)}\b(?!:8080)"), "web-1") for host in hosts]
    found += [(re.compile(rf"\b{here}\b"), str(there)) for here, there in pids.items()]
    found += [(_THREAD, "(140000000000000)"), (_ID, "id 140000000000000"), (_OBJECT, "0x7f0000000000")]
    return found


def stable(value: Any, names: list[tuple[re.Pattern[str], str]]) -> Any:
    """Return a JSON value, or a text, with what is of this machine replaced."""
    if isinstance(value, dict):
        return {stable(key, names): _member(key, part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [stable(part, names) for part in value]
    if isinstance(value, str):
        for pattern, replacement in names:
            value = pattern.sub(replacement, value)
    return value


def _member(key: str, part: Any, names: list[tuple[re.Pattern[str], str]]) -> Any:
    if key == "pid" and isinstance(part, int):
        return int(stable(str(part), names))
    return stable(part, names)


def cut(value: Any) -> Any:
    """Return a JSON value, or a text, in a length that one reads: what was left out is said by an ellipsis."""
    if isinstance(value, dict):
        kept = {key: cut(part) for key, part in list(value.items())[:_MEMBERS]}
        return {**kept, "…": f"{len(value) - _MEMBERS} more"} if len(value) > _MEMBERS + 1 else {**kept, **_last(value)}
    if isinstance(value, list):
        wanted = _ELEMENTS if any(isinstance(part, dict | list) for part in value) else _SCALARS
        shown = value if len(value) <= wanted + 1 else value[:wanted]
        more = len(value) - len(shown)
        return [*(cut(part) for part in shown), *([f"… {more} more"] if more else [])]
    if isinstance(value, str) and len(value) > _WIDTH:
        return value[:_WIDTH] + "…"
    return value


def _last(value: dict[str, Any]) -> dict[str, Any]:
    """Return the one member beyond what is shown: to say "1 more" would take the same place."""
    return {key: cut(part) for key, part in list(value.items())[_MEMBERS:]}


def cut_text(text: str) -> str:
    """Return the beginning of a text that is no JSON."""
    lines = [line if len(line) <= _WIDTH else line[:_WIDTH] + "…" for line in text.splitlines()]
    return "\n".join(lines[:_LINES] + ([f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []))
