"""Log levels set at run time: shared state, applied to the loggers of this process, and ``{base}/logging/level``."""

import contextlib
import logging
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from c2c_broadcast import Field, Form, Link, Live, Section, json_error
from c2c_broadcast.shared_state import Entry, SharedState
from c2c_logging._settings import level_number

_LOG = logging.getLogger(__name__)
ROUTE = "c2c_logging_level"
ROOT = "root"
NAMES = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
_LONGEST = 200
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_BEFORE: dict[str, int] = {}  # levels belong to the process, as loggers do


@cache
def overrides() -> SharedState:
    """Return the overrides of the service, which this process follows from now on."""
    return SharedState("log_levels", _change, check=lambda _, level: level in logging.getLevelNamesMapping())


def _change(name: str, entry: Entry | None) -> None:
    logger = logging.getLogger("" if name == ROOT else name)
    if entry is None:
        if name in _BEFORE:
            logger.setLevel(_BEFORE.pop(name))
        return
    _BEFORE.setdefault(name, logger.level)
    logger.setLevel(entry.value)


def level_of(name: str) -> dict[str, str]:
    """Return the level of a logger, its own (``NOTSET`` without one) and the one in force; none is made for that."""
    known: Any = logging.root.manager.loggerDict
    logger = logging.root if name == ROOT else known.get(name)
    own = logging.getLevelName(logger.level) if isinstance(logger, logging.Logger) else "NOTSET"
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
                Field(name="ttl", label="Seconds", type="number", value="1800"),
            ),
        ),
    ),
    links=(Link(title="Levels set by hand", route=ROUTE), Link(title="All loggers", route=ROUTE, query={"list": "1"})),
    live=(Live(title="Loggers", kind="levels", route=ROUTE, query={"list": "1"}, every=10.0),),
)


def level_view(request: Any) -> dict[str, Any]:
    """Answer with overrides, all loggers, or one logger, whose level may be set.

    Raises:
        HTTPBadRequest: A parameter can't be; the message says what can. Nothing is changed then.
    """
    from pyramid.httpexceptions import HTTPBadRequest  # importing c2c_logging imports no Pyramid

    state = overrides()
    try:
        name = _set(request.params, request.environ.get("REMOTE_ADDR"))
    except ValueError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    if not name:
        if request.params.get("list", "").lower() in _TRUE:
            return {"status": 200, "loggers": _all(state)}
        return {"status": 200, "overrides": {key: entry.value for key, entry in sorted(state.entries().items())}}
    answer = {"status": 200, "name": name, **level_of(name)}
    # Said only when it is so: the answer is the documented one otherwise.
    return answer if state.everywhere else {**answer, "complete": False}


def _set(params: Mapping[str, str], who: str | None) -> str:
    """Set or reset the level that is asked for, if one is; return the logger's name."""
    name, level, ttl = (params.get(key, "").strip() for key in ("name", "level", "ttl"))
    if level and not name:
        raise ValueError("Which logger? Give its name as parameter `name`, or `root`")
    if len(name) > _LONGEST or not name.isprintable():
        raise ValueError(f"a logger's name has 1 to {_LONGEST} printable characters")
    if level.lower() == "reset":
        overrides().reset(name, who=who)
        _LOG.warning("Log level of %s reset from %s", name, who)
    elif level:
        try:
            level_number(level)
        except ValueError as error:
            raise ValueError(f"Unknown level {level[:40]!r}: {error}, or reset") from None
        overrides().set(name, level.upper(), ttl=_seconds(ttl), who=who)
        _LOG.warning("Log level of %s set to %s from %s%s", name, level.upper(), who, ttl and f" for {ttl} s")
    return name


def _seconds(ttl: str) -> float | None:
    with contextlib.suppress(ValueError):
        if not ttl or float(ttl) > 0:
            return float(ttl) if ttl else None
    raise ValueError(f"ttl={ttl[:40]!r}: must be a number of seconds, more than 0")


def _all(state: SharedState) -> list[dict[str, Any]]:
    """Return every logger of this process, the root first."""
    known = logging.root.manager.loggerDict.copy()
    names = sorted(name for name, logger in known.items() if isinstance(logger, logging.Logger))
    entries, now = state.entries(), time.time()
    loggers = []
    for name in (ROOT, *names):
        line: dict[str, Any] = {"name": name, **level_of(name), "override": name in entries}
        if (entry := entries.get(name)) is not None:
            line["expires_in"] = None if entry.expires is None else round(max(0.0, entry.expires - now), 1)
            line["who"] = entry.who
        loggers.append(line)
    return loggers
