"""The exception view: any exception becomes JSON, one record in the log, and the right CORS headers."""

import contextlib
import json
import logging
import traceback
from typing import Any

from pyramid.response import Response
from webob import Response as WebObResponse

from c2c_broadcast import is_auth, masker_of
from c2c_rest._classify import classify
from c2c_rest._cors import add_cors
from c2c_rest._outcome import Outcome, text_of
from c2c_rest._problem import problem, wants_problem
from c2c_rest._settings import RestSettings
from c2c_rest._url import shown_url

_LOG = logging.getLogger(__name__)
_FIRST_ERROR = 400

ERROR_VIEW = "c2c_rest.error_view"
"""Where the registry keeps it, unless exceptions are not handled."""


class ErrorView:
    """The exception view of one application: ``view(error, request)`` gives the response."""

    def __init__(self, settings: RestSettings) -> None:
        self._settings = settings

    def __call__(self, error: Any, request: Any) -> Any:
        """Answer for an exception that a view, a tween, a renderer or Pyramid itself raised."""
        try:
            return self._answer(error, request)
        except Exception as failure:  # noqa: BLE001 # nobody else would answer this request
            _LOG.error(
                "The error view failed (%s: %s) on the exception that follows",
                type(failure).__name__,
                text_of(failure),
                exc_info=error,
            )
            response = _json_response({"message": "Internal server error", "status": 500}, 500, self._settings)
            with contextlib.suppress(Exception):
                # It may be what failed.
                add_cors(request, response)
            return response

    def _answer(self, error: Any, request: Any) -> Any:
        if isinstance(error, WebObResponse) and error.status_int < _FIRST_ERROR:
            outcome = Outcome(status=error.status_int, message=error.status)
            response: Any = _passed_on(error)
        else:
            outcome = classify(error)
            response = self._error_response(error, outcome, request)
        add_cors(request, response)
        self._log(error, outcome, request, response.status_int)
        return response

    def _error_response(self, error: Any, outcome: Outcome, request: Any) -> Response:
        if request.method == "OPTIONS" and isinstance(error, WebObResponse):
            # A browser that asks whether it may, may: the answer to the request itself will tell what is wrong.
            response = Response(status=200, headerlist=[("Content-Length", "0")])
        else:
            mask = masker_of(request.registry)
            insider = self._settings.development or is_auth(request)
            message = outcome.detail if insider and outcome.detail else outcome.message
            body = {**mask.data(outcome.members), "message": mask(message), "status": outcome.status}
            if insider:
                body["stacktrace"] = mask("".join(traceback.format_exception(error)))
            as_problem = wants_problem(request)
            if as_problem:
                body = problem(body, request)
            response = _json_response(body, outcome.status, self._settings)
            if as_problem:
                response.content_type = "application/problem+json"
        response.headers.extend(outcome.headers)
        if "Cache-Control" not in response.headers:
            response.cache_expires(0)
        return response

    @staticmethod
    def _log(error: BaseException, outcome: Outcome, request: Any, status: int) -> None:
        level = outcome.level if status >= _FIRST_ERROR else logging.DEBUG
        if not _LOG.isEnabledFor(level):
            return
        mask = masker_of(request.registry)
        referrer = request.environ.get("HTTP_REFERER")
        _LOG.log(
            level,
            "%s %s returned status code %s: %s",
            request.method,
            mask(shown_url(request.environ)),
            status,
            mask(outcome.detail or outcome.message),
            exc_info=error if level >= logging.ERROR else None,
            extra={"referrer": mask(referrer) if referrer else None},
        )


def _passed_on(error: Any) -> Any:
    """Return a raised redirection or success as it is: it is a response."""
    if error.status_int in {204, 304}:
        # RFC 9110, 15.3.5 and 8.6: no content, hence no type and no length of it.
        error.body = b""
        error.content_type = None
        error.content_length = None
    return error


def _json_response(body: dict[str, Any], status: int, settings: RestSettings) -> Response:
    indent, separators = (2, None) if settings.json_pretty_print else (None, (",", ":"))
    text = json.dumps(
        body, indent=indent, separators=separators, sort_keys=settings.json_sort_keys, ensure_ascii=False, default=str
    )
    return Response(
        status=status,
        body=text.encode("utf-8", "backslashreplace"),
        content_type="application/json",
        charset="UTF-8",
    )
