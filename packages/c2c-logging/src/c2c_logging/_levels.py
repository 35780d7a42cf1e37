"""Log levels set at run time: shared state, applied to the loggers of this process."""

import logging
import re
from dataclasses import dataclass
from typing import Any

from c2c_broadcast.shared_state import Entry, SharedState
from c2c_logging._level_names import level_number

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[^\x00-\x20\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?")
_LONGEST = 200
ROOT = "root"


@dataclass(frozen=True, slots=True)
class LevelOf:
    """A logger's level: its own (``NOTSET`` without one), and the one in force."""

    level: str
    effective_level: str


class Levels:
    """The overrides of this process. Levels belong to the process, as loggers do."""

    def __init__(self) -> None:
        self._state: SharedState | None = None
        self._before: dict[str, int] = {}

    def follow(self) -> SharedState:
        """Have this process follow the overrides of the service, from now on."""
        if self._state is None:
            self._state = SharedState("log_levels", self._change)
        return self._state

    def set(self, name: str, level: str, ttl: float | None, who: str | None) -> None:
        """Set a logger's level in every process, for ``ttl`` seconds or without end.

        Raises:
            ValueError: Name, level or ttl can't be; the message says what can.
        """
        number = level_number(level)
        self.follow().set(checked_name(name), logging.getLevelName(number), ttl=ttl, who=who)

    def reset(self, name: str, who: str | None) -> None:
        """End an override in every process: back to what the ini said."""
        self.follow().reset(checked_name(name), who=who)

    @property
    def everywhere(self) -> bool:
        """Tell whether a change reaches every process now: not while Redis is away."""
        return self.follow().everywhere

    def overrides(self) -> dict[str, Entry]:
        """Return the overrides in force, by logger."""
        return dict(sorted(self.follow().entries().items()))

    def _change(self, name: str, entry: Entry | None) -> None:
        if entry is None:
            if name in self._before:
                _logger(name).setLevel(self._before.pop(name))
            return
        try:
            number = level_number(str(entry.value))
        except ValueError:
            _LOG.warning("Log level %r of %s is unknown in this process", entry.value, name)
            return
        logger = _logger(name)
        self._before.setdefault(name, logger.level)
        logger.setLevel(number)


LEVELS = Levels()
"""The ones of this process."""


def checked_name(name: str) -> str:
    """Return the name of a logger.

    Raises:
        ValueError: It is too long, or has characters that do not print.
    """
    if len(name) > _LONGEST or not _NAME.fullmatch(name) or not name.isprintable():
        raise ValueError(f"a logger's name has 1 to {_LONGEST} printable characters")
    return name


def level_of(name: str) -> LevelOf:
    """Return the level of a logger; one that nobody has is not made for that."""
    known: Any = None if name == ROOT else logging.root.manager.loggerDict.get(name)
    if isinstance(known, logging.Logger) or name == ROOT:
        logger = _logger(name)
        return LevelOf(logging.getLevelName(logger.level), logging.getLevelName(logger.getEffectiveLevel()))
    parent = name
    while parent := parent.rpartition(".")[0]:
        found = logging.root.manager.loggerDict.get(parent)
        if isinstance(found, logging.Logger):
            return LevelOf("NOTSET", logging.getLevelName(found.getEffectiveLevel()))
    return LevelOf("NOTSET", logging.getLevelName(logging.root.level))


def all_levels() -> dict[str, LevelOf]:
    """Return every logger of this process, the root first."""
    names = [
        name for name, logger in logging.root.manager.loggerDict.copy().items() if isinstance(logger, logging.Logger)
    ]
    return {name: level_of(name) for name in [ROOT, *sorted(names)]}


def _logger(name: str) -> logging.Logger:
    return logging.getLogger() if name == ROOT else logging.getLogger(name)
