"""Log levels set at run time: shared state, applied to the loggers of this process, and ``{base}/logging/level``."""

import logging
import re
import time
from dataclasses import dataclass
from typing import Any

from c2c_broadcast import Field, Form, Link, Live, Section, json_error
from c2c_broadcast.shared_state import Entry, SharedState
from c2c_logging._settings import known_names, level_number

_LOG = logging.getLogger(__name__)
ROUTE = "c2c_logging_level"
ROOT = "root"
NAMES = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
_NAME = re.compile(r"[^\x00-\x20\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?")
_LONGEST = 200
_PROPOSED_TTL = "1800"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})


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


SECTION = Section(
    name="logging",
    title="Logging",
    order=40,
    text="Levels are set in every process, until their time is over or they are reset.",
    forms=(
        Form(
            title="Set the level of a logger",
            route=ROUTE,
            method="POST",
            submit="Set",
            fields=(
                Field(name="name", label="Logger", value="sqlalchemy.engine", required=True),
                Field(name="level", label="Level", type="select", value="INFO", choices=(*NAMES, "reset")),
                Field(name="ttl", label="Seconds", type="number", value=_PROPOSED_TTL),
            ),
        ),
    ),
    links=(
        Link(title="Levels set by hand", route=ROUTE),
        Link(title="All loggers", route=ROUTE, query={"list": "1"}),
    ),
    live=(Live(title="Loggers", kind="levels", route=ROUTE, query={"list": "1"}, every=10.0),),
)


def changes_level(request: Any) -> bool:
    """Tell whether a request sets a level."""
    return bool(request.params.get("level"))


def level_view(request: Any) -> dict[str, Any]:
    """Answer with overrides, all loggers, or one logger, whose level may be set.

    Raises:
        HTTPBadRequest: A parameter can't be; the message says what can. Nothing is changed then.
    """
    from pyramid.httpexceptions import HTTPBadRequest  # importing c2c_logging imports no Pyramid

    name, level = request.params.get("name", "").strip(), request.params.get("level", "").strip()
    if not name:
        if level:
            raise json_error(HTTPBadRequest, "Which logger? Give its name as parameter `name`, or `root`")
        return _list() if request.params.get("list", "").lower() in _TRUE else _overrides()
    try:
        name = checked_name(name)
        if level:
            _set(request, name, level)
    except ValueError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    found = level_of(name)
    answer = {"status": 200, "name": name, "level": found.level, "effective_level": found.effective_level}
    # Said only when it is so: the answer is the documented one otherwise.
    return answer if LEVELS.everywhere else {**answer, "complete": False}


def _set(request: Any, name: str, level: str) -> None:
    who = request.environ.get("REMOTE_ADDR")
    ttl = _ttl(request.params.get("ttl", ""))
    if level.lower() == "reset":
        LEVELS.reset(name, who)
        _LOG.warning("Log level of %s reset from %s", name, who)
        return
    try:
        LEVELS.set(name, level, ttl, who)
    except ValueError:
        if level.upper() in known_names():
            raise
        raise ValueError(f"Unknown level {level[:40]!r}: use one of {', '.join(known_names())}, or reset") from None
    _LOG.warning("Log level of %s set to %s from %s%s", name, level, who, f" for {ttl:g} s" if ttl else "")


def _ttl(raw: str) -> float | None:
    if not raw.strip():
        return None
    try:
        ttl = float(raw)
    except ValueError:
        ttl = 0
    if not ttl > 0:
        raise ValueError(f"ttl={raw[:40]!r}: must be a number of seconds, more than 0")
    return ttl


def _overrides() -> dict[str, Any]:
    return {"status": 200, "overrides": {name: entry.value for name, entry in LEVELS.overrides().items()}}


def _list() -> dict[str, Any]:
    overrides = LEVELS.overrides()
    loggers = []
    now = time.time()
    for name, found in all_levels().items():
        line: dict[str, Any] = {"name": name, "level": found.level, "effective_level": found.effective_level}
        entry = overrides.get(name)
        line["override"] = entry is not None
        if entry is not None:
            line["expires_in"] = None if entry.expires is None else round(max(0.0, entry.expires - now), 1)
            line["who"] = entry.who
        loggers.append(line)
    return {"status": 200, "loggers": loggers}
