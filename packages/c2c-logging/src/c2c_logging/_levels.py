"""Log levels set at run time: shared state, applied to the loggers of this process, and ``{base}/logging/level``."""

import logging
import time
from typing import Any

from c2c_broadcast import Field, Form, Link, Live, Section, json_error
from c2c_broadcast.shared_state import Entry, SharedState
from c2c_logging._settings import known_names, level_number

_LOG = logging.getLogger(__name__)
ROUTE = "c2c_logging_level"
ROOT = "root"
NAMES = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
_LONGEST = 200
_PROPOSED_TTL = "1800"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})


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

    def _change(self, name: str, entry: Entry | None) -> None:
        logger = logging.getLogger("" if name == ROOT else name)
        if entry is None:
            if name in self._before:
                logger.setLevel(self._before.pop(name))
            return
        try:
            number = level_number(str(entry.value))
        except ValueError:
            _LOG.warning("Log level %r of %s is unknown in this process", entry.value, name)
            return
        self._before.setdefault(name, logger.level)
        logger.setLevel(number)


LEVELS = Levels()
"""The ones of this process."""


def level_of(name: str) -> dict[str, str]:
    """Return the level of a logger, its own (``NOTSET`` without one) and the one in force; none is made for that."""
    known: Any = logging.root.manager.loggerDict
    logger = logging.root if name == ROOT else known.get(name)
    own = "NOTSET"
    if isinstance(logger, logging.Logger):
        own = logging.getLevelName(logger.level)
    while not isinstance(logger, logging.Logger):  # nobody has it: its parent's level is in force
        name = name.rpartition(".")[0]
        logger = known.get(name) if name else logging.root
    return {"level": own, "effective_level": logging.getLevelName(logger.getEffectiveLevel())}


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

    state = LEVELS.follow()
    try:
        name, level = _asked(request)
        if level:
            _set(state, name, level, _ttl(request.params.get("ttl", "")), request.environ.get("REMOTE_ADDR"))
    except ValueError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    if not name:
        wants_all = request.params.get("list", "").lower() in _TRUE
        if wants_all:
            return {"status": 200, "loggers": _all(state)}
        return {"status": 200, "overrides": {key: entry.value for key, entry in sorted(state.entries().items())}}
    answer = {"status": 200, "name": name, **level_of(name)}
    # Said only when it is so: the answer is the documented one otherwise.
    return answer if state.everywhere else {**answer, "complete": False}


def _asked(request: Any) -> tuple[str, str]:
    name, level = request.params.get("name", "").strip(), request.params.get("level", "").strip()
    if level and not name:
        raise ValueError("Which logger? Give its name as parameter `name`, or `root`")
    if len(name) > _LONGEST or not name.isprintable():
        raise ValueError(f"a logger's name has 1 to {_LONGEST} printable characters")
    return name, level


def _set(state: SharedState, name: str, level: str, ttl: float | None, who: str | None) -> None:
    if level.lower() == "reset":
        state.reset(name, who=who)
        _LOG.warning("Log level of %s reset from %s", name, who)
        return
    if level.upper() not in known_names():
        raise ValueError(f"Unknown level {level[:40]!r}: use one of {', '.join(known_names())}, or reset")
    state.set(name, level.upper(), ttl=ttl, who=who)
    _LOG.warning("Log level of %s set to %s from %s%s", name, level, who, f" for {ttl:g} s" if ttl else "")


def _ttl(raw: str) -> float | None:
    try:
        ttl = float(raw) if raw.strip() else None
    except ValueError:
        ttl = 0
    if ttl is not None and not ttl > 0:
        raise ValueError(f"ttl={raw[:40]!r}: must be a number of seconds, more than 0")
    return ttl


def _all(state: SharedState) -> list[dict[str, Any]]:
    """Return every logger of this process, the root first."""
    known = logging.root.manager.loggerDict.copy()
    names = sorted(name for name, logger in known.items() if isinstance(logger, logging.Logger))
    overrides, now = state.entries(), time.time()
    loggers = []
    for name in (ROOT, *names):
        line: dict[str, Any] = {"name": name, **level_of(name), "override": name in overrides}
        if (entry := overrides.get(name)) is not None:
            line["expires_in"] = None if entry.expires is None else round(max(0.0, entry.expires - now), 1)
            line["who"] = entry.who
        loggers.append(line)
    return loggers
