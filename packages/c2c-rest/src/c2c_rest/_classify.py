"""From an exception to its outcome: the table of the contract, in the order in which it is asked.

No driver, no SQLAlchemy and no botocore is imported: an exception is known by the names of its classes (PEP 249 gives
those of databases the same names in every driver) and by its SQLSTATE (PostgreSQL, appendix A), ``pgcode`` in psycopg2,
``sqlstate`` in psycopg 3.
"""

import contextlib
import json
import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pyramid.exceptions import PredicateMismatch, URLDecodeError
from webob import Response
from webob.request import DisconnectionError

_QUIET = {401: logging.DEBUG, 500: logging.ERROR}
# These describe the body that is replaced.
_OF_THE_BODY = frozenset(
    {"content-type", "content-length", "content-encoding", "content-language", "content-location", "content-md5"}
    | {"content-range", "etag", "last-modified", "transfer-encoding"}
)
ERRORS = range(400, 600)
# What gunicorn raises, by name: before gunicorn 27 they were of no common family.
_BROKEN_BODIES = ("ParseException", "InvalidChunkSize", "ChunkMissingTerminator", "InvalidChunkExtension")

# What a body that is not what it says makes the standard library or WebOb raise; JSON may be nested too deeply, too.
_BODY_ERRORS = (ValueError, LookupError, DeprecationWarning, RecursionError)
# Libraries whose errors of connections name the host and port that they wanted.
_CLIENTS = frozenset({"redis", "valkey", "requests", "urllib3", "httpx", "aiohttp"})
_NO_ANSWER = frozenset(
    {"ConnectionError", "Timeout", "TimeoutError", "TransportError", "ClientConnectionError", "HTTPError"}
)
_BODY_PARSERS = frozenset({"json", "cgi", "email", "codecs", "encodings", "urllib"})

RETRY_AFTER = 5
"""Seconds after which a client may try again what a database refused."""
_TRY_AGAIN = f"The database can't do this now: try again in {RETRY_AFTER} seconds"

_DRIVERS = frozenset(
    {"psycopg2", "psycopg", "psycopg_pool", "asyncpg", "pg8000", "sqlite3", "MySQLdb", "pymysql", "oracledb"}
)
_BAD_DATA = frozenset({"IntegrityError", "DataError"})
_NO_CONNECTION = frozenset({"OperationalError", "InterfaceError", "PoolTimeout"})
# Connection exceptions; insufficient resources (too many connections, disk full); read-only transaction; idle
# transaction ended; administrator's shutdown, crash, not yet up, database dropped, idle session ended.
_AWAY = re.compile(r"08...|53...|25006|25P0[34]|57P0[1-5]")
# Authorization (a role, where from), and no such database.
_REFUSED = re.compile(r"28...|3D...")
# Violations whose detail names no more than the key: others show the whole row.
_OF_A_KEY = frozenset({"23503", "23505"})
_SQLITE_AWAY = re.compile(r"SQLITE_(?:BUSY|LOCKED|READONLY|CANTOPEN|FULL)")
# What SQLAlchemy adds to the text of the driver.
_STATEMENT = re.compile(r"\[SQL: .*|\(Background on this error at: .*", re.DOTALL)
# What PostgreSQL adds: the line of the statement where the error is.
_LINE = re.compile(r"^LINE [0-9]{1,9}: .*", re.DOTALL | re.MULTILINE)
_CLASS = re.compile(r"^\([\w.]+\) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What clients read of an exception.

    ``message`` is for everybody, ``detail`` (with the SQL statement, say) for operators and the log, where it is not
    the same; ``members`` are more members of the JSON object; ``log_level`` is that of the status unless it is given.
    """

    status: int
    message: str
    detail: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    log_level: int | None = None

    @property
    def level(self) -> int:
        """The level to log at: 401 DEBUG, 500 ERROR, other errors WARNING, what is no error DEBUG."""
        if self.log_level is not None:
            return self.log_level
        return _QUIET.get(self.status, logging.WARNING if self.status in ERRORS else logging.DEBUG)


def text_of(error: BaseException) -> str:
    """Return the text of an exception, its class's name where it has none or fails to tell."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 # any class may have a broken __str__: its error must be answered all the same
        text = ""
    return text or type(error).__name__


def classify(error: BaseException) -> Outcome:
    """Return what becomes of an exception. HTTP redirections and successes are not for this function.

    A class may say it of its own instances: class attribute ``http_status`` (400 to 599); ``retry_after`` (seconds), of
    the class or the instance.
    """
    if isinstance(error, Response):
        return _of_http(error)
    return (
        _declared(error) or _of_known(error) or _database_outcome(error) or Outcome(status=500, message=text_of(error))
    )


def _of_known(error: BaseException) -> Outcome | None:  # noqa: PLR0911 # a table, in its order
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
    if _is_a(error, "botocore", "ClientError"):
        metadata = getattr(error, "response", {}).get("ResponseMetadata", {})
        status = metadata.get("HTTPStatusCode")
        return Outcome(status=status if status in ERRORS else 500, message=text_of(error))
    if any(_package(cls) in _CLIENTS and cls.__name__ in _NO_ANSWER for cls in type(error).__mro__):
        return Outcome(
            status=500, message="A service that this one needs does not answer as it should", detail=text_of(error)
        )
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
    explanation = getattr(error, "explanation", None) or getattr(error, "title", None) or phrase_of(error.status_int)
    if isinstance(error, PredicateMismatch):
        # Its detail names the view's function and predicates.
        return Outcome(status=error.status_int, message=explanation, detail=message, headers=headers, members=members)
    return Outcome(status=error.status_int, message=message or explanation, headers=headers, members=members)


def _json_members(error: Any) -> dict[str, Any]:
    members = None
    if error.has_body and (error.content_type or "").endswith("json"):
        with contextlib.suppress(ValueError):
            members = json.loads(error.body)
    return members if isinstance(members, dict) else {}


def _of_cornice(errors: list[Any]) -> str | None:
    found = [f"{item.get('name')}: {item.get('description')}" for item in errors if isinstance(item, dict)]
    return "; ".join(found) or None


def phrase_of(status: int) -> str:
    """Return the reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _declared(error: BaseException) -> Outcome | None:
    # Of the class only: clients of other services set http_status on instances, and mean that other service's.
    status = getattr(type(error), "http_status", None)
    if not isinstance(status, int) or status not in ERRORS:
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


def _database_outcome(error: BaseException) -> Outcome | None:
    names = {cls.__name__ for cls in type(error).__mro__ if _package(cls) in _DRIVERS or _package(cls) == "sqlalchemy"}
    if not names:
        return None
    cause = getattr(error, "orig", None) or error
    detail = text_of(error)
    if names & _BAD_DATA:
        return Outcome(status=400, message=_public_text(error, cause), detail=detail)
    if _is_away(error, cause, names):
        # A pool of SQLAlchemy's and a transaction that may only read tell of no host, user or database. Others do.
        harmless = _package(type(cause)) == "sqlalchemy" or _sqlstate(cause).startswith("25")
        return Outcome(
            status=503,
            message=_public_text(error, cause) if harmless else _TRY_AGAIN,
            detail=detail,
            headers=(("Retry-After", str(RETRY_AFTER)),),
        )
    state = _sqlstate(cause)
    no_connection = bool(names & _NO_CONNECTION) and not hasattr(cause, "sqlite_errorname")
    if _REFUSED.fullmatch(state) if state else no_connection:
        # Its text names host, user or database.
        return Outcome(status=500, message="The database refuses this service", detail=detail)
    return Outcome(status=500, message=_public_text(error, cause), detail=detail)


def _sqlstate(cause: Any) -> str:
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _package(cls: type[Any]) -> str:
    return cls.__module__.partition(".")[0]


def _is_away(error: BaseException, cause: Any, names: set[str]) -> bool:
    """Tell whether the database is away, full or read-only: the same request may succeed a little later."""
    state = _sqlstate(cause)
    if state:
        return bool(_AWAY.fullmatch(state))
    sqlite = getattr(cause, "sqlite_errorname", None)
    if sqlite:
        return bool(_SQLITE_AWAY.match(sqlite))
    if getattr(error, "connection_invalidated", False):
        return True
    if _package(type(error)) == "sqlalchemy" and type(error).__name__ in {"TimeoutError", "DisconnectionError"}:
        return True
    # A connection that was refused, lost or timed out has no SQLSTATE: no server was there to give one.
    postgresql = _package(type(cause)).startswith(("psycopg", "asyncpg", "pg8000"))
    return postgresql and bool(names & _NO_CONNECTION)


def _public_text(error: BaseException, cause: Any) -> str:
    """Return the text of the error without statement, its line in the server's message, and SQLAlchemy's link."""
    diagnostics = getattr(cause, "diag", None)
    primary = getattr(diagnostics, "message_primary", None)
    if primary:
        more = getattr(diagnostics, "message_detail", None) if _sqlstate(cause) in _OF_A_KEY else None
        return f"{primary}\nDETAIL: {more}" if more else str(primary)
    text = _CLASS.sub("", _STATEMENT.sub("", text_of(error)))
    return _LINE.sub("", text).strip() or type(error).__name__
