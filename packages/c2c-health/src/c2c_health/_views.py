"""The views: they translate, no more."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyramid.httpexceptions import HTTPBadRequest
from pyramid.response import Response

from c2c_broadcast import auth_view, is_auth, json_error
from c2c_health import _everywhere, _formats, _live
from c2c_health._checks import checks_of
from c2c_health._outcomes import Outcome, State, Verdict
from c2c_health._report import report
from c2c_health._selection import SelectionError, select
from c2c_health.gunicorn import linger


def health_check(request: Any) -> Any:
    """Run the checks that the request asks for: ``max_level`` (default 1) and ``checks`` (names, by comma).

    With ``scope=all`` in every process of the service, for operators.
    """
    checks = checks_of(request.registry)
    given = request.GET
    max_level, names, scope = given.get("max_level"), given.getall("checks"), given.get("scope") or "one"
    try:
        if scope not in {"one", "all"}:
            raise SelectionError(f"scope must be one or all, not {scope[:50]!r}")  # noqa: TRY301 # as what select says
        if scope == "one":
            return _checked(request, max_level, names)
        select(checks.all, max_level, names)
    except SelectionError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    auth_view(request)
    found = _everywhere.ask_all(request.registry, checks, max_level, names, stacktraces=True)
    return _in_form(request, found, _everywhere.by_member(found))


def live(request: Any) -> Any:
    """Look at this process only: its threads, and its part in broadcasts. It asks no other system."""
    return _answer(request, _live.look(checks_of(request.registry).runner.threads))


def ready(request: Any) -> Any:
    """Run the checks of level 1; fail once the service was told to stop."""
    checks = checks_of(request.registry)
    if linger.stopping or checks.stopping:
        return _answer(request, [_stopping()])
    return _checked(request, None, ())


def versions(request: Any) -> Any:
    """Give the version file."""
    found = checks_of(request.registry).versions
    assert found is not None  # else there is no view
    return found.content


def _stopping() -> Verdict:
    message = "the service was told to stop"
    return Verdict("shutting_down", 1, State.FAILED, Outcome(State.FAILED, 0.0, 0.0, message=message), message)


def _checked(request: Any, max_level: str | None, names: Sequence[str]) -> Any:
    checks = checks_of(request.registry)
    stacktraces = checks.settings.development or is_auth(request)
    found = checks.report(max_level, names, request, stacktraces=stacktraces)
    return _in_form(request, found, found)


def _answer(request: Any, verdicts: Iterable[Verdict]) -> Any:
    found = report(verdicts, failure_status=checks_of(request.registry).settings.failure_status)
    return _in_form(request, found, found)


def _in_form(request: Any, found: Mapping[str, Any], rows: Mapping[str, Any]) -> Any:
    """Return what was found in the form that the client accepts: as it is, or its rows as a report."""
    status = found.get("status", 200)
    offers = request.accept.acceptable_offers(_formats.OFFERS)
    form = offers[0][0] if offers else _formats.JSON
    if form == _formats.JSON:
        request.response.status_int = status
        request.response.vary = ("Accept",)
        return found
    if form == _formats.HEALTH_JSON:
        versions = checks_of(request.registry).versions
        body = _formats.health_json(rows, versions.git_hash if versions else None)
    else:
        body = _formats.html(rows) if form == _formats.HTML else _formats.text(rows)
    charset = {} if form == _formats.HEALTH_JSON else {"charset": "UTF-8"}
    answer = Response(body=body.encode(), status=status, content_type=form, **charset)
    answer.vary = ("Accept",)
    answer.headers["Content-Security-Policy"] = "default-src 'none'"
    return answer
