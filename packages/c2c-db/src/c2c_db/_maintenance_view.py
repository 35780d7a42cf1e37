"""``GET {base}/db/maintenance``: look at maintenance mode, or switch it."""

import math
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import Field, Form, Link, Live, Section, json_error, settings_of
from c2c_db._application import application_of

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


def add_maintenance_view(config: Configurator) -> None:
    """Add the operator view, and its section of the index page."""
    if settings_of(config.registry).secret is None:
        return  # nobody is an operator
    config.add_section(_SECTION)
    config.add_operator_view(
        _view,
        name="db_maintenance",
        path="/db/maintenance",
        changes_state=lambda request: "readonly" in request.params,
    )


def _view(request: Any) -> dict[str, Any]:
    maintenance = application_of(request.registry).maintenance
    if "readonly" not in request.params:
        return {"status": 200, "current_readonly": maintenance.readonly}
    readonly = _WORDS.get(request.params["readonly"].lower())
    if readonly is None:
        raise json_error(HTTPBadRequest, "readonly must be true or false")
    reason = " ".join(request.params.get("reason", "").split()) or None  # one line, as it stands in the log
    if reason and (len(reason) > _LONGEST_REASON or not reason.isprintable()):
        raise json_error(HTTPBadRequest, f"reason must be printable text of up to {_LONGEST_REASON} characters")
    try:
        maintenance.switch(readonly=readonly, ttl=_ttl(request), reason=reason, who=request.client_addr)
    except ValueError as error:
        raise json_error(HTTPBadRequest, f"ttl: {error}") from None
    answer = {"status": 200, "readonly": readonly}
    # Said only when it is so: the answer is the documented one otherwise.
    return answer if maintenance.everywhere else {**answer, "complete": False}


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
