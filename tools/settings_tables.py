"""Write the settings tables of READMEs and docs from the dataclasses: ``python tools/settings_tables.py [--check]``.

A page says where by a line ``<!-- settings: module.Class -->``; all up to ``<!-- end -->`` is replaced.
"""

import importlib
import logging
import re
import sys
from pathlib import Path
from typing import Any

from c2c_broadcast import declarations

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")])
_PLACE = re.compile(r"(<!-- settings: ([\w.]+)\.(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(cls: type[Any]) -> str:
    """Return the table of a settings class, in Markdown."""
    lines = ["| environment | ini key | default | |", "|---|---|---|---|"]
    for declaration, default in declarations(cls).values():
        star = "{name}" if declaration.prefix else ""
        names = [f"`{name}{star}`" if name else "" for name in (declaration.env, declaration.key)]
        shown = _shown(declaration.env, default)
        lines.append(f"| {names[0]} | {names[1]} | {shown} | {declaration.help} |")
    return "\n".join(lines) + "\n"


def _shown(env: str | None, default: object) -> str:
    """Return a default as one would write it in a setting."""
    if default in (None, "", (), {}):
        return "none"
    if isinstance(default, tuple):
        return f"`{', '.join(str(part) for part in default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int) and (env or "").endswith("_LEVEL"):
        return f"`{logging.getLevelName(default)}`"
    return f"`{default}`"


def written(text: str) -> str:
    """Return a page's text with each of its tables made anew."""

    def replace(match: re.Match[str]) -> str:
        return match[1] + table(getattr(importlib.import_module(match[2]), match[3])) + match[4]

    return _PLACE.sub(replace, text)


def main() -> int:
    """Write them; with ``--check`` change nothing and exit 1 where one is out of date."""
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = written(text)
        if new != text:
            stale.append(str(page.relative_to(ROOT)))
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"Out of date: {', '.join(stale)}; mend by: python tools/settings_tables.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
