"""The exception view: any exception becomes JSON, one record in the log, and the right CORS headers.

Clients that accept problem details (RFC 9457) first get those.
"""

import contextlib
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from pyramid.response import Response
from webob import Response as WebObResponse

from c2c_broadcast import is_auth, masker_of
from c2c_rest._classify import ERRORS, Outcome, classify, phrase_of, text_of
from c2c_rest._json import Style, standard_writer
from c2c_rest._settings import RestSettings
from c2c_rest.services import add_cors

_LOG = logging.getLogger(__name__)

TYPE = "application/problem+json"
# What RFC 3986 allows in a path, and the percent sign of what is encoded already in a query.
_PATH = "/~:@!$&'()*+,;="
_QUERY = _PATH + "?%"


class ErrorView:
    """The exception view of one application: ``view(error, request)`` gives the response."""

    def __init__(self, settings: RestSettings) -> None:
        self._settings = settings

    def __call__(self, error: Any, request: Any) -> Any:
        """Answer for an exception that a view, a tween, a renderer or Pyramid itself raised."""
        try:
            return self._answer(error, request)
        except Exception as failure:  # noqa: BLE001 # nobody else would answer this request
            text = "The error view failed (%s: %s) on the exception that follows"
            _LOG.error(text, type(failure).__name__, text_of(failure), exc_info=error)
            response = _json_response({"message": "Internal server error", "status": 500}, 500, self._settings)
            with contextlib.suppress(Exception):
                # It may be what failed.
                add_cors(request, response)
            return response

    def _answer(self, error: Any, request: Any) -> Any:
        if isinstance(error, WebObResponse) and error.status_int not in ERRORS:
            outcome = Outcome(status=error.status_int, message=error.status)
            response: Any = _passed_on(error, self._settings)
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
                with contextlib.suppress(SystemError):  # of threads that format at once, before 3.11.5 (gh-106905)
                    body["stacktrace"] = mask("".join(traceback.format_exception(error)), limit=40_000)
            as_problem = wants_problem(request)
            if as_problem:
                body = problem(body, request)
            response = _json_response(body, outcome.status, self._settings)
            if as_problem:
                response.content_type = TYPE
        response.headers.extend(outcome.headers)
        if "Cache-Control" not in response.headers:
            response.cache_expires(0)
        return response

    @staticmethod
    def _log(error: BaseException, outcome: Outcome, request: Any, status: int) -> None:
        level = outcome.level if status in ERRORS else logging.DEBUG
        if not _LOG.isEnabledFor(level):
            return
        mask = masker_of(request.registry)
        referrer = request.environ.get("HTTP_REFERER")
        shown = (request.method, mask(shown_url(request.environ)), status, mask(outcome.detail or outcome.message))
        trace = error if level >= logging.ERROR else None
        extra = {"referrer": mask(referrer) if referrer else None}
        _LOG.log(level, "%s %s returned status code %s: %s", *shown, exc_info=trace, extra=extra)


def own_response_tween_factory(handler: Callable[[Any], Any], _registry: Any) -> Callable[[Any], Any]:
    """Tween: an HTTP exception that a view returns is answered by a response of this request."""

    def tween(request: Any) -> Any:
        response = handler(request)
        return _own(response) if isinstance(response, Exception) else response

    return tween


def _own(error: Any) -> Any:
    """Return a response like the HTTP exception, which may be one object for all requests.

    Whatever is added to the answer (a cookie, say) would be in that of the next client.
    """
    cls: Any = type(error)
    response = cls.__new__(cls)
    response.__dict__.update(vars(error))
    response.headerlist = list(error.headerlist)
    return response


def _passed_on(error: Any, settings: RestSettings) -> Any:
    """Return a raised redirection or success: it is a response."""
    response = _own(error)
    if response.status_int in {204, 304}:
        # RFC 9110, 15.3.5 and 8.6: no content, hence no type and no length of it.
        response.body = b""
        response.content_type = None
        response.content_length = None
    if settings.redirects_no_cache and "Cache-Control" not in response.headers:
        response.cache_expires(0)
    return response


def _json_response(body: dict[str, Any], status: int, settings: RestSettings) -> Response:
    write = standard_writer(Style(settings.json_pretty_print, settings.json_sort_keys))
    return Response(status=status, body=write(body, str), content_type="application/json", charset="UTF-8")


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
    # RFC 9457, 4.2.1: with about:blank the title is that of the status.
    found = {**body, "type": "about:blank", "title": phrase_of(body["status"]), "instance": shown_path(request.environ)}
    found["detail"] = found.pop("message")
    request_id = getattr(request, "c2c_request_id", None)
    return found if request_id is None else {**found, "request_id": str(request_id)}


def shown_url(environ: Mapping[str, Any]) -> str:
    """Return the URL of a WSGI environment, percent-encoded. Never raises, unlike WebOb's on what is not UTF-8."""
    scheme = environ.get("wsgi.url_scheme", "http")
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
    query = _quoted(environ.get("QUERY_STRING", ""), _QUERY)
    return f"{scheme}://{_quoted(host, ':[]')}{shown_path(environ)}" + (f"?{query}" if query else "")


def shown_path(environ: Mapping[str, Any]) -> str:
    """Return the path of a WSGI environment, percent-encoded. Never raises."""
    return _quoted(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), _PATH)


def _quoted(text: str, safe: str) -> str:
    # WSGI hands bytes over as latin-1 (PEP 3333).
    return quote(text.encode("latin-1", "replace"), safe=safe)
