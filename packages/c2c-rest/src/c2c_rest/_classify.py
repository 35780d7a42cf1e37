"""From an exception to its outcome: the table of the contract, in the order in which it is asked."""

import json
import logging
import traceback
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

# What a body that is not what it says makes the standard library or WebOb raise; JSON may be nested too deeply, too.
_BODY_ERRORS = (ValueError, LookupError, DeprecationWarning, RecursionError)
_BODY_PARSERS = frozenset({"json", "cgi", "email", "codecs", "encodings", "urllib"})


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
    raised_by = _raising_module(error)
    if isinstance(error, _BODY_ERRORS) and raised_by == "webob.request":
        return _of_body(error)
    if isinstance(error, URLDecodeError) or (isinstance(error, UnicodeDecodeError) and raised_by.startswith("webob.")):
        return Outcome(status=400, message=f"The address of the request is not UTF-8: {text_of(error)}")
    if isinstance(error, ValueError) and raised_by == "webob.compat":
        return _of_body(error)
    return _of_a_library(error)


def _of_a_library(error: BaseException) -> Outcome | None:
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


def _raising_module(error: BaseException) -> str:
    """Return the name of the module that raised, or that called what of the standard library did."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((str(name) for name in reversed(frames) if name.partition(".")[0] not in _BODY_PARSERS), "")


def _of_body(error: BaseException) -> Outcome:
    """Say what is wrong with a body that WebOb was asked for, as JSON, form or text."""
    unknown = isinstance(error, LookupError)
    if unknown or isinstance(error, DeprecationWarning):
        # WebOb's way to say that a form is not UTF-8.
        why = text_of(error) if unknown else "forms are read in UTF-8 only"
        return Outcome(status=415, message=f"The charset of the body can't be read: {why}")
    return Outcome(status=400, message=f"The body of the request can't be read: {text_of(error)}")


def _botocore_status(error: BaseException) -> int:
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    return status if isinstance(status, int) and status in _ERRORS else 500
