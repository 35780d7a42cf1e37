"""``GET {base}/db/maintenance``: look at maintenance mode, or switch it."""

import math
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import json_error
from c2c_db._application import application_of

_WORDS = {"true": True, "false": False}


def add_maintenance_view(config: Configurator) -> None:
    """Add the operator view."""
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
    reason = request.params.get("reason") or None
    try:
        maintenance.switch(readonly=readonly, ttl=_ttl(request), reason=reason, who=request.client_addr)
    except ValueError as error:
        raise json_error(HTTPBadRequest, f"ttl: {error}") from None
    return {"status": 200, "readonly": readonly}


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
