"""``console`` blocks: commands after ``$``, and what one sees.

In what one sees, ``...`` is anything, and a number with a decimal point is any number.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the output that the page promises (empty: nothing is promised)."""

    text: str
    output: str


def commands(text: str) -> list[Command]:
    """Return the commands of a console block.

    Raises:
        ValueError: the block does not begin with a command.
    """
    found: list[list[str]] = []
    outputs: list[list[str]] = []
    continued = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:]])
            outputs.append([])
        elif not found:
            raise ValueError(f"a console block begins with a command after '$ ', not with: {line}")
        elif continued:
            found[-1].append(line.removeprefix("> "))
        else:
            outputs[-1].append(line)
        continued = line.endswith("\\") and not outputs[-1]
    return [Command("\n".join(c), "\n".join(o).strip()) for c, o in zip(found, outputs, strict=True)]


def pattern(output: str) -> re.Pattern[str]:
    """Return the regular expression of a promised output."""
    parts = re.split(r"(\.\.\.|\d+\.\d+(?:e-?\d+)?)", output)
    written = []
    for part in parts:
        if part == "...":
            written.append(r".*?")
        elif re.fullmatch(r"\d+\.\d+(?:e-?\d+)?", part):
            written.append(r"\d+(?:\.\d+)?(?:e-?\d+)?")
        else:
            written.append(re.sub(r"(?:\\?\s)+", r"\\s+", re.escape(part)))
    return re.compile("".join(written), re.DOTALL)


def fits(output: str, seen: str) -> bool:
    """Tell whether what was seen is what the page promises, white space aside."""
    return not output or pattern(output).fullmatch(seen.strip()) is not None
