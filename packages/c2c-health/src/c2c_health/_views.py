"""The views: they translate, no more."""

from typing import Any

from pyramid.httpexceptions import HTTPBadRequest

from c2c_broadcast import is_auth, json_error
from c2c_health._checks import checks_of
from c2c_health._report import report
from c2c_health._selection import SelectionError, select


def health_check(request: Any) -> Any:
    """Run the checks that the request asks for: ``max_level`` (default 1) and ``checks`` (names, by comma)."""
    checks = checks_of(request.registry)
    try:
        wanted = select(checks.all, request.GET.get("max_level"), request.GET.getall("checks"))
    except SelectionError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    settings = checks.settings
    found = report(
        checks.run(wanted, request).values(),
        failure_status=settings.failure_status,
        stacktraces=settings.development or is_auth(request),
    )
    request.response.status_int = found.get("status", 200)
    return found
