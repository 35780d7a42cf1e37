"""The code blocks of Markdown pages: what they are written in, which file they are, and whether they can run."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from documentation.pages import ROOT

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}) *(?P<language>[\w+-]*)(?P<info>.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_FIRST_LINE = re.compile(r"^# ([\w./-]+\.(?:py|ini|toml|yaml|conf))$", re.MULTILINE)
_MARK = re.compile(r"^ *<!-- (not run|sandbox): (.+) -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: ``title`` is the file that it shows, ``reason`` why it can't run (of ``<!-- not run: ... -->``)."""

    page: Path
    line: int
    language: str
    text: str
    title: str | None
    reason: str | None

    @property
    def place(self) -> str:
        """Where it stands, as ``README.md:12``."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return the Markdown pages whose blocks are held to the truth."""
    written = [page for page in (ROOT / "docs").rglob("*.md") if page.name != "endpoints.md"]
    return sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("packages/*/README.md"), *written])


def blocks(page: Path) -> Iterator[Block]:
    """Give the code blocks of a page, in its order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        start = number
        number += 1
        fence = _FENCE.match(lines[start])
        if fence is None:
            continue
        while lines[number].strip() != fence["fence"]:
            number += 1
        text = textwrap.dedent("\n".join(lines[start + 1 : number])) + "\n"
        number += 1
        title = _TITLE.search(fence["info"]) or _FIRST_LINE.match(text)
        yield Block(page, start + 1, fence["language"], text, title[1] if title else None, _reason(lines, start))


def sandbox(page: Path) -> str | None:
    """Return what a page's commands run in: the word of its ``<!-- sandbox: ... -->``."""
    for line in page.read_text(encoding="utf-8").splitlines():
        mark = _MARK.match(line)
        if mark and mark[1] == "sandbox":
            return mark[2]
    return None


def _reason(lines: list[str], start: int) -> str | None:
    """Return the reason in the mark before a block: the last line before it that is not empty."""
    before = next((line for line in reversed(lines[:start]) if line.strip()), "")
    mark = _MARK.match(before)
    return mark[2] if mark and mark[1] == "not run" else None
