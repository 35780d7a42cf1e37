"""Problem details (RFC 9457), for clients that accept them first."""

from http import HTTPStatus
from typing import Any

from c2c_rest._url import shown_path

TYPE = "application/problem+json"


def wants_problem(request: Any) -> bool:
    """Tell whether the client accepts ``application/problem+json`` first: named, and before anything else."""
    accept = request.environ.get("HTTP_ACCEPT", "")
    if TYPE not in accept.lower():
        return False
    ranges = getattr(request.accept, "parsed", None) or ()
    # The highest quality first; of one quality, the first in the header.
    best = max(ranges, key=lambda item: item[1], default=None)
    return best is not None and best[1] > 0 and best[0].lower() == TYPE


def problem(body: dict[str, Any], request: Any) -> dict[str, Any]:
    """Say as problem details what ``body`` (``message``, ``status``, ...) says; other members stay as extensions."""
    status = body["status"]
    rest = {key: value for key, value in body.items() if key != "message"}
    found = {
        **rest,
        # RFC 9457, 4.2.1: with about:blank the title is that of the status.
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": body["message"],
        "instance": shown_path(request.environ),
    }
    request_id = getattr(request, "c2c_request_id", None)
    if request_id is not None:
        found["request_id"] = str(request_id)
    return found


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
