"""The code blocks of Markdown pages: what they are written in, which file they are, and whether they can run."""

import doctest
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}) *(?P<language>[\w+-]*)(?P<info>.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_FIRST_LINE = re.compile(r"^# ([\w./-]+\.(?:py|ini|toml|yaml|conf))$", re.MULTILINE)
_NOT_RUN = re.compile(r"^ *<!-- not run: (.+) -->$")
_NUMBER = re.compile(r"\d+(?:\.\d+)+(?:e-?\d+)?")


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

    def commands(self) -> Iterator[tuple[str, str]]:
        """Give the commands of a console block, after ``$``, each with the output that the page promises."""
        assert self.text.startswith("$ "), f"{self.place}: a console block begins with a command after '$ '"
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*", part)
            assert command
            yield command[0].replace("\\\n> ", "\\\n"), part[command.end() :].strip()


def pages() -> list[Path]:
    """Return the Markdown pages whose blocks are held to the truth."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: Path) -> Iterator[Block]:
    """Give the code blocks of a page, in its order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    numbers = iter(range(len(lines)))
    before = ""
    for start in numbers:
        if fence := _FENCE.match(lines[start]):
            end = next(number for number in numbers if lines[number].strip() == fence["fence"])
            text = textwrap.dedent("\n".join(lines[start + 1 : end])) + "\n"
            title = _TITLE.search(fence["info"]) or _FIRST_LINE.match(text)
            mark = _NOT_RUN.match(before)
            yield Block(page, start + 1, fence["language"], text, title and title[1], mark and mark[1])
        before = lines[start] if lines[start].strip() else before


def fits(promised: str, seen: str) -> bool:
    """Tell whether what was seen is what a page promises, white space aside.

    ``...`` is anything, and so is each number with a decimal point; nothing is promised by nothing.
    """
    promised, seen = ("".join(text.split()) for text in (_NUMBER.sub("...", promised), seen))
    return not promised or doctest.OutputChecker().check_output(promised, seen, doctest.ELLIPSIS)
