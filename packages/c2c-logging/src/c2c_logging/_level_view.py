"""``{base}/logging/level``: see and change log levels."""

import logging
import time
from typing import Any

from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import Field, Form, Link, Live, Section, json_error
from c2c_logging._level_names import NAMES, known_names
from c2c_logging._levels import LEVELS, all_levels, checked_name, level_of

_LOG = logging.getLogger(__name__)
ROUTE = "c2c_logging_level"
_PROPOSED_TTL = "1800"
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})

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
