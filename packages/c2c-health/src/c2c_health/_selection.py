"""Which checks a request asks for: a pure function of its parameters. A misspelt probe is an error, never green."""

from collections.abc import Sequence
from typing import NamedTuple

from c2c_health._check import Check

DEFAULT_MAX_LEVEL = 1
_MOST_DIGITS = 9


class Selection(NamedTuple):
    """What a report is about: its checks, and the level up to which a failure of one fails the report."""

    checks: list[Check]
    highest: float


class SelectionError(ValueError):
    """The parameters of a request make no sense; the message tells what would."""


def select(checks: Sequence[Check], max_level: str | None, names: Sequence[str]) -> Selection:
    """Return the checks up to ``max_level`` (1 where it is None) of these names (all, where there are none).

    Checks that are named run whatever their level, unless a ``max_level`` comes with them. Those of a higher level that
    are shown at this one are among them.

    Raises:
        SelectionError: A name or the level can't be right.
    """
    wanted = [name for names_ in names for name in map(str.strip, names_.split(",")) if name]
    levels = sorted({check.level for check in checks})
    unknown = sorted(set(wanted) - {check.name for check in checks})
    if unknown:
        there_are = ", ".join(sorted(check.name for check in checks)) or "none"
        raise SelectionError(f"Unknown health check: {', '.join(unknown)}. There are: {there_are}")
    highest = DEFAULT_MAX_LEVEL if max_level is None else _level(max_level, levels)
    named = [check for check in checks if not wanted or check.name in wanted]
    if wanted and max_level is None:
        return Selection(named, float("inf"))
    found = [check for check in named if (check.shown_from or check.level) <= highest]
    if wanted and not found and highest > 0:
        above = ", ".join(f"{check.name} ({check.level})" for check in named)
        raise SelectionError(f"max_level={highest} leaves none of the named checks: their levels are {above}")
    return Selection(found, highest)


def _level(text: str, levels: Sequence[int]) -> int:
    if not (text.isascii() and text.isdecimal()):
        there_are = ", ".join(str(level) for level in (0, *levels))
        raise SelectionError(f"max_level must be a whole number from 0, not {text[:50]!r}. Levels here: {there_are}")
    # A level beyond all levels is as good as the highest, and Python refuses to read numbers of 4,300 digits.
    return int(text.lstrip("0")[:_MOST_DIGITS] or "0")
