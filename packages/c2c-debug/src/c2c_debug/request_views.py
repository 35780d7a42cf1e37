"""Small views to see what a proxy does with requests and answers, and what time it is here."""

import time
from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPNoContent, status_map

from c2c_broadcast import masker_of
from c2c_debug._parameters import bad, integer, number

_LONGEST_SLEEP = 3600.0
_CLIENT_INFO = (
    "client_addr",
    "host",
    "host_port",
    "http_version",
    "path",
    "path_info",
    "remote_addr",
    "remote_host",
    "scheme",
    "server_name",
    "server_port",
)
_HIGHEST_STATUS = 599
_FIRST_ERROR = 400


def sleep(request: Any) -> Any:
    """Answer after ``time`` seconds, with nothing (204)."""
    time.sleep(number(request, "time", minimum=0, maximum=_LONGEST_SLEEP))
    return HTTPNoContent()


def headers(request: Any) -> dict[str, Any]:
    """Give the headers as received (secrets masked), and the client as this service sees it."""
    status = _error_status(request) if request.params.get("status") else None
    masked = masker_of(request.registry)
    received = masked.data(dict(request.headers.items()))
    if "Cookie" in received:
        # By name only: what they hold are log-ins.
        received["Cookie"] = masked("; ".join(f"{name}=***" for name in request.cookies))
    client = {name: getattr(request, name, None) for name in _CLIENT_INFO}
    found: dict[str, Any] = {"headers": received, "client_info": masked.data(client)}
    if status is not None:
        request.response.status_int = status
        found |= {"status": status, "message": status_map[status].title}
    return found


def error(request: Any) -> Any:
    """Raise the HTTP error of ``status``, for the application's error views to make an answer of."""
    status = _error_status(request)
    raise status_map[status](f"This error was asked for: status={status}")


def now(_request: Any) -> dict[str, Any]:
    """Give this server's time."""
    local = datetime.now().astimezone()
    return {
        "local_time": str(local.replace(tzinfo=None)),
        "gmt_time": str(local.astimezone(UTC).replace(tzinfo=None)),
        "epoch": local.timestamp(),
        "timezone": str(local.tzinfo),
    }


def _error_status(request: Any) -> int:
    status = integer(request, "status", minimum=_FIRST_ERROR, maximum=_HIGHEST_STATUS)
    if status not in status_map:
        known = ", ".join(str(code) for code in sorted(status_map) if code >= _FIRST_ERROR)
        raise bad(f"status must be an HTTP error, not {status}: {known}")
    return status
