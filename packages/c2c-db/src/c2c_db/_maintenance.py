"""Maintenance mode: everyone reads from the replica side, in every process, and nobody writes."""

import logging
import math
import time
from functools import partial
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import Field, Form, Link, Live, Section, json_error
from c2c_broadcast.shared_state import Entry, SharedState

_LOG = logging.getLogger(__name__)
_KEY = "readonly"
_RETRY_AFTER = 60


class Maintenance:
    """The mode as all processes agree on it: kept where SharedState keeps it, so it survives restarts.

    Where nobody can say whether it is on (a configured Redis is away, and this process began alone), nothing is written
    if it ``can_be_switched``: a 503 is tried again, and what is written beside a dump is lost. If it can't be, then
    nobody has switched it, and an outage of Redis is none of the database's.
    """

    def __init__(self, *, can_be_switched: bool) -> None:
        self.state = SharedState(
            "c2c_db.maintenance",
            _changed,
            required=can_be_switched,  # the first request of a new worker obeys
            safe={_KEY: True},
            check=lambda _, value: isinstance(value, bool),
        )

    @property
    def readonly(self) -> bool | None:
        """Whether the mode is on; None where nobody has said."""
        value: bool | None = self.state.get(_KEY)
        return value

    def retry_after(self) -> int:
        """Return in how many seconds a write may be tried again: when the mode ends, else in a minute."""
        entry = self.state.entries().get(_KEY)
        if entry is None or entry.expires is None:
            return _RETRY_AFTER
        return max(1, math.ceil(entry.expires - time.time()))


def _changed(_key: str, entry: Entry | None) -> None:
    if entry is None:
        _LOG.warning("Database maintenance mode ended")
    else:
        why = f": {entry.reason}" if entry.reason else ""
        _LOG.warning("Database maintenance mode is %s%s", "on: read-only" if entry.value else "off", why)


_ROUTE = "c2c_db_maintenance"
_SECTION = Section(
    name="db_maintenance",
    title="Database maintenance",
    order=60,
    text="Read-only mode of the service: everybody reads from the replica, and writes are answered with 503.",
    links=(Link(title="State", route=_ROUTE),),
    forms=(
        Form(
            title="Switch",
            route=_ROUTE,
            method="POST",
            submit="Switch",
            fields=(
                Field(name="readonly", label="Read-only", type="select", choices=("true", "false"), required=True),
                Field(name="ttl", label="For how many seconds (without end if empty)", type="number"),
                Field(name="reason", label="Reason"),
            ),
        ),
    ),
    live=(Live(title="Mode", kind="maintenance", route=_ROUTE, every=10.0),),
)
_WORDS = {"true": True, "false": False}
_LONGEST_REASON = 500


def add_maintenance_view(config: Configurator, maintenance: Maintenance, *, enabled: bool) -> None:
    """Add the operator view, and its section of the index page; where it is off, what tells how to switch it on."""
    if enabled:
        config.add_section(_SECTION)
    config.add_operator_view(
        partial(_view, maintenance),
        name="db_maintenance",
        path="/db/maintenance",
        changes_state=lambda request: "readonly" in request.params,
        level="read",
        off=None if enabled else "C2C_DB_MAINTENANCE_VIEW_ENABLED",
    )


def _view(maintenance: Maintenance, request: Any) -> dict[str, Any]:
    if "readonly" not in request.params:
        return {"status": 200, "current_readonly": maintenance.readonly}
    readonly = _WORDS.get(request.params["readonly"].lower())
    if readonly is None:
        raise json_error(HTTPBadRequest, "readonly must be true or false")
    reason = " ".join(request.params.get("reason", "").split()) or None  # one line, as it stands in the log
    if reason and (len(reason) > _LONGEST_REASON or not reason.isprintable()):
        raise json_error(HTTPBadRequest, f"reason must be printable text of up to {_LONGEST_REASON} characters")
    try:
        ttl = float(request.params["ttl"]) if request.params.get("ttl") else None
        # In every process; after ``ttl`` seconds it ends by itself.
        done = maintenance.state.set(_KEY, readonly, ttl=ttl, reason=reason, who=request.client_addr)
    except ValueError as error:
        raise json_error(HTTPBadRequest, f"ttl: {error}") from None
    answer = {"status": 200, "readonly": readonly}
    # Said only when it is so: the answer is the documented one otherwise.
    return answer if done.everywhere else {**answer, "complete": False}
