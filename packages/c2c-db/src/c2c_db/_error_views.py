"""The answers to a database that can't do it now: 503 with ``Retry-After``, in JSON."""

from typing import Any

from pyramid.config import PHASE2_CONFIG, Configurator
from pyramid.httpexceptions import HTTPException, HTTPServiceUnavailable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from c2c_broadcast import ANSWERS_EXCEPTIONS, json_error
from c2c_db._errors import UnavailableError
from c2c_db._failures import Failure, failure_of

_RETRY_AFTER = "1"
_MESSAGES = {
    Failure.LOST: "The database is not reachable at the moment: try again",
    Failure.READ_ONLY: "The database takes no writes at the moment: try again",
    Failure.CONFLICT: "The database could not finish the read: try again",
    Failure.EXHAUSTED: "All connections to the database are in use: try again",
}


class UnavailablePredicate:
    """View predicate: the exception is about the server (away, read-only, busy), not about the statement."""

    def __init__(self, value: bool, _info: Any) -> None:
        self._value = value

    def text(self) -> str:
        """Return what Pyramid shows of it."""
        return f"c2c_db_unavailable = {self._value}"

    phash = text

    def __call__(self, context: Any, request: Any) -> bool:
        """Tell whether it holds for this exception."""
        error = getattr(request, "exception", None) or context
        return (failure_of(error) is not None) is self._value


def add_error_views(config: Configurator) -> None:
    """Register the views, for our own errors and for SQLAlchemy's, unless another package answers all exceptions."""

    def register() -> None:
        if ANSWERS_EXCEPTIONS in config.registry:
            return
        config.add_exception_view(_our_view, context=UnavailableError)
        for error in (DBAPIError, PoolTimeoutError):
            config.add_exception_view(_sqlalchemy_view, context=error, c2c_db_unavailable=True)

    config.add_view_predicate("c2c_db_unavailable", UnavailablePredicate)
    # Before the views are made, after every package was included.
    config.action(("c2c_db", "error views"), register, order=PHASE2_CONFIG)


def _our_view(error: UnavailableError, _request: Any) -> HTTPException:
    return json_error(HTTPServiceUnavailable, str(error), {"Retry-After": str(error.retry_after)})


def _sqlalchemy_view(error: Exception, _request: Any) -> HTTPException:
    failure = failure_of(error)
    assert failure is not None  # the predicate's
    return json_error(HTTPServiceUnavailable, _MESSAGES[failure], {"Retry-After": _RETRY_AFTER})
