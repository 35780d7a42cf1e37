"""The tween: each exception of a request is reported, whatever the answer became."""

import sys
from collections.abc import Callable
from typing import Any

from pyramid.interfaces import IResponse

from c2c_sentry._events import begin
from c2c_sentry._reporting import REPORTING


def tween_factory(handler: Callable[[Any], Any], _registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application; over the one of exception views, so that it sees both outcomes."""
    if not REPORTING.active:
        return handler

    def tween(request: Any) -> Any:
        begin()
        try:
            response = handler(request)
        except Exception as error:
            _report(request, error)
            raise
        # Where an exception view answered, Pyramid leaves the exception on the request.
        answered = request.__dict__.get("exception")
        if answered is not None:
            _report(request, answered)
        return response

    return tween


def _report(request: Any, error: BaseException) -> None:
    if IResponse.providedBy(error):
        return  # HTTPNotFound and its like are answers
    # An attempt that pyramid_retry will repeat is no error yet. What is not imported does not retry.
    retry = sys.modules.get("pyramid_retry")
    if retry is not None and retry.is_error_retryable(request, error):
        return
    REPORTING.capture(error)
