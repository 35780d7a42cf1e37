"""Maintenance mode: everyone reads from the replica side, in every process, and nobody writes."""

import logging
import math
import time
from functools import partial
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import Field, Form, Link, Live, Section, json_error, settings_of
from c2c_broadcast.shared_state import Entry, SharedState

_LOG = logging.getLogger(__name__)
_KEY = "readonly"
_RETRY_AFTER = 60


class Maintenance:
    """The mode as all processes agree on it: kept where SharedState keeps it, so it survives restarts."""

    def __init__(self) -> None:
        # The first request of a new worker obeys, and where nobody can say whether the mode is on, nothing is written.
        self._state = SharedState(
            "c2c_db.maintenance",
            _changed,
            required=True,
            safe={_KEY: True},
            check=lambda _, value: isinstance(value, bool),
        )

    @property
    def readonly(self) -> bool | None:
        """Whether the mode is on; None where nobody has said."""
        value: bool | None = self._state.get(_KEY)
        return value

    @property
    def entry(self) -> Entry | None:
        """Who switched it, when, why, and until when."""
        return self._state.entries().get(_KEY)

    def switch(self, *, readonly: bool, ttl: float | None = None, reason: str | None = None, who: Any = None) -> bool:
        """Switch it in every process, and tell whether it is everywhere; after ``ttl`` seconds it ends by itself.

        Raises:
            ValueError: ``ttl`` is out of bounds.
        """
        return bool(self._state.set(_KEY, readonly, ttl=ttl, reason=reason, who=who).everywhere)

    def retry_after(self) -> int:
        """Return in how many seconds a write may be tried again: when the mode ends, else in a minute."""
        entry = self.entry
        if entry is None or entry.expires is None:
            return _RETRY_AFTER
        return max(1, math.ceil(entry.expires - time.time()))

    def close(self) -> None:
        """Stop to follow it."""
        self._state.close()


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


def add_maintenance_view(config: Configurator, maintenance: Maintenance) -> None:
    """Add the operator view, and its section of the index page."""
    if settings_of(config.registry).secret is None:
        return  # nobody is an operator
    config.add_section(_SECTION)
    config.add_operator_view(
        partial(_view, maintenance),
        name="db_maintenance",
        path="/db/maintenance",
        changes_state=lambda request: "readonly" in request.params,
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
        everywhere = maintenance.switch(readonly=readonly, ttl=_ttl(request), reason=reason, who=request.client_addr)
    except ValueError as error:
        raise json_error(HTTPBadRequest, f"ttl: {error}") from None
    answer = {"status": 200, "readonly": readonly}
    # Said only when it is so: the answer is the documented one otherwise.
    return answer if everywhere else {**answer, "complete": False}


def _ttl(request: Any) -> float | None:
    text = request.params.get("ttl")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise json_error(HTTPBadRequest, "ttl must be a number of seconds, more than 0")
    return seconds
