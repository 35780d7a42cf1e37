"""Write the settings tables of READMEs and docs from the dataclasses: ``python tools/settings_tables.py [--check]``.

A page says where by a line ``<!-- settings: module.Class -->``; all up to ``<!-- end -->`` is replaced.
"""

import importlib
import logging
import re
import sys
from pathlib import Path

from c2c_broadcast import declarations

ROOT = Path(__file__).resolve().parent.parent
_PLACE = re.compile(r"(<!-- settings: ([\w.]+)\.(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(place: re.Match[str]) -> str:
    """Return the table of a settings class, in Markdown, between the lines that ask for it."""
    lines = ["| environment | ini key | default | |", "|---|---|---|---|"]
    for declaration, default in declarations(getattr(importlib.import_module(place[2]), place[3])).values():
        star = "{name}" if declaration.prefix else ""
        names = [f"`{name}{star}`" if name else "" for name in (declaration.env, declaration.key)]
        lines.append(f"| {names[0]} | {names[1]} | {_shown(declaration.env or '', default)} | {declaration.help} |")
    return "\n".join([place[1].rstrip(), *lines, place[4]])


def _shown(env: str, default: object) -> str:
    match default:
        case None | "" | () | {}:
            return "none"
        case tuple():
            return f"`{', '.join(map(str, default))}`"
        case bool():
            return f"`{str(default).lower()}`"
        case int() if env.endswith("_LEVEL"):
            return f"`{logging.getLevelName(default)}`"
    return f"`{default}`"


def main() -> int:
    """Write them; with ``--check`` change nothing and exit 1 where one is out of date."""
    pages = [*ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")]
    texts = {page: _PLACE.sub(table, page.read_text("utf-8")) for page in pages}
    stale = [page for page in pages if page.read_text("utf-8") != texts[page]]
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"Out of date: {', '.join(map(str, stale))}; mend by: python tools/settings_tables.py\n")
        return 1
    for page in stale:
        page.write_text(texts[page], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
