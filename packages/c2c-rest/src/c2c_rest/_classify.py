"""From an exception to its outcome: the table of the contract, in the order in which it is asked."""

import json
import logging
from http import HTTPStatus
from typing import Any

from pyramid.exceptions import PredicateMismatch, URLDecodeError
from webob import Response
from webob.request import DisconnectionError

from c2c_rest._database_errors import database_outcome
from c2c_rest._outcome import Outcome, text_of

# These describe the body that is replaced.
_OF_THE_BODY = frozenset(
    {"content-type", "content-length", "content-encoding", "content-language", "content-location", "content-md5"}
    | {"content-range", "etag", "last-modified", "transfer-encoding"}
)
_ERRORS = range(400, 600)
# What gunicorn raises, by name: before gunicorn 27 they were of no common family.
_BROKEN_BODIES = ("ParseException", "InvalidChunkSize", "ChunkMissingTerminator", "InvalidChunkExtension")


def classify(error: BaseException) -> Outcome:
    """Return what becomes of an exception. HTTP redirections and successes are not for this function.

    A class may say it of its own instances: class attribute ``http_status`` (400 to 599); ``retry_after`` (seconds), of
    the class or the instance.
    """
    if isinstance(error, Response):
        return _of_http(error)
    return (
        _declared(error) or _of_known(error) or database_outcome(error) or Outcome(status=500, message=text_of(error))
    )


def _of_known(error: BaseException) -> Outcome | None:
    """Exceptions of a client that went away or sent rubbish, and of some libraries, by name."""
    if isinstance(error, ConnectionResetError | DisconnectionError) or _is_a(error, "gunicorn", "NoMoreData"):
        return Outcome(status=500, message=text_of(error), log_level=logging.INFO)
    if any(_is_a(error, "gunicorn", name) for name in _BROKEN_BODIES):
        return Outcome(status=400, message=f"The body of the request can't be read: {text_of(error)}")
    if _is_bad_encoding(error):
        return Outcome(status=400, message=f"The address of the request is not UTF-8: {text_of(error)}")
    if _is_a(error, "botocore", "ClientError"):
        return Outcome(status=_botocore_status(error), message=text_of(error))
    if _is_a(error, "beaker", "BeakerException") and text_of(error) == "Invalid signature":
        return Outcome(status=401, message="Invalid signature")
    return None


def _of_http(error: Any) -> Outcome:
    """HTTP errors of Pyramid, of WebOb, of cornice: status and headers kept, members of a JSON body too."""
    members = _json_members(error)
    headers = tuple((name, value) for name, value in error.headerlist if name.lower() not in _OF_THE_BODY)
    detail = getattr(error, "detail", None)
    message = str(detail) if detail else None
    if message is None and isinstance(members.get("message"), str):
        message = members["message"]
    if message is None and isinstance(members.get("errors"), list):
        message = _of_cornice(members["errors"])
    explanation = getattr(error, "explanation", None) or getattr(error, "title", None) or _phrase(error.status_int)
    if isinstance(error, PredicateMismatch):
        # Its detail names the view's function and predicates.
        return Outcome(status=error.status_int, message=explanation, detail=message, headers=headers, members=members)
    return Outcome(status=error.status_int, message=message or explanation, headers=headers, members=members)


def _json_members(error: Any) -> dict[str, Any]:
    if not error.has_body or not (error.content_type or "").endswith("json"):
        return {}
    try:
        members = json.loads(error.body)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _of_cornice(errors: list[Any]) -> str | None:
    """Say in one line what cornice's list of validation errors says."""
    found = [f"{item.get('name')}: {item.get('description')}" for item in errors if isinstance(item, dict)]
    return "; ".join(found) or None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _declared(error: BaseException) -> Outcome | None:
    # Of the class only: clients of other services set http_status on instances, and mean that other service's.
    status = getattr(type(error), "http_status", None)
    if not isinstance(status, int) or status not in _ERRORS:
        return None
    seconds = getattr(error, "retry_after", None)
    headers = (("Retry-After", str(int(seconds))),) if isinstance(seconds, int | float) else ()
    return Outcome(status=status, message=text_of(error), headers=headers)


def _is_a(error: BaseException, package: str, name: str) -> bool:
    """Tell whether one of the error's classes is called ``name``, in this package, without importing it."""
    return any(cls.__name__ == name and cls.__module__.partition(".")[0] == package for cls in type(error).__mro__)


def _is_bad_encoding(error: BaseException) -> bool:
    """Tell whether it was WebOb or Pyramid that could not decode the path or the query."""
    if isinstance(error, URLDecodeError):
        return True
    if not isinstance(error, UnicodeDecodeError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "webob"


def _botocore_status(error: BaseException) -> int:
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    return status if isinstance(status, int) and status in _ERRORS else 500
