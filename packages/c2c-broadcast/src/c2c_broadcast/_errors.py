"""The errors of the base."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyramid.httpexceptions import HTTPException


class ConfigurationError(Exception):
    """A setting or a directive that can't be followed: the service does not start.

    The message names the thing (variable and ini key, or name of the directive) and the remedy, never a secret's value.
    """


ANSWERS_EXCEPTIONS = "c2c.answers_exceptions"
"""The registry has this key where a package answers every exception: others then register no views for theirs.

It says so in its ``includeme``; the others look in an action, when all are included. Such a package takes the status
of an exception from its class's ``http_status``, and seconds for ``Retry-After`` from ``retry_after``.
"""


def json_error(kind: type[Any], message: str, headers: dict[str, str] | None = None) -> "HTTPException":
    """Make an HTTP exception that is JSON for every client: ``{"message": str, "status": int}``."""
    body = json.dumps({"message": message, "status": kind.code}, indent=2).encode()
    error: HTTPException = kind(message, headers=headers, body=body, content_type="application/json", charset="UTF-8")
    return error
