"""The views, the report in its forms, and that of every process."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from html import escape
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest
from pyramid.response import Response
from pyramid.tweens import INGRESS

from c2c_broadcast import Answers, Link, Live, Section, auth_view, broadcast, is_auth, json_error
from c2c_broadcast.process import family, host_name
from c2c_broadcast.settings import warn_once
from c2c_health._check import MOST, SelectionError
from c2c_health._health_check import HealthCheck
from c2c_health._probes import queue_time, request_threads
from c2c_health.version import channel

_LOG = logging.getLogger(__name__)
JSON, HEALTH_JSON, HTML, TEXT = "application/json", "application/health+json", "text/html", "text/plain"


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield name, ``pass``, ``warn`` or ``fail``, and entry of each check: the failed ones first."""
    for name, entry in report["failures"].items():
        yield name, "fail", entry
    for name, entry in report["successes"].items():
        yield name, "warn" if "message" in entry else "pass", entry


def _overall(report: Mapping[str, Any]) -> str:
    found = {state for _, state, _ in _rows(report)}
    return next((state for state in ("fail", "warn") if state in found), "pass")


def health_json(report: Mapping[str, Any], version: str | None = None) -> str:
    """Return the form of draft-inadarei-api-health-check-06 (``observedValue`` is how long the check took)."""
    checks = {}
    for name, state, entry in _rows(report):
        check = {"status": state, "observedValue": round(entry["timing"] * 1000, 3), "observedUnit": "ms"}
        # Section 4.8: output is left out where it passes.
        output = {"output": entry["message"]} if entry.get("message") else {}
        # Section 4: the component's name is without a colon, which parts it from what is measured.
        checks[f"{name.replace(':', '_')}:responseTime"] = [{"componentId": name, **check, **output}]
    release = {"releaseId": version} if version else {}
    return json.dumps({"status": _overall(report), **release, "checks": checks}, indent=2)


def text(report: Mapping[str, Any]) -> str:
    """Return one line a check, the failed ones first."""
    lines = []
    for name, state, entry in _rows(report):
        line = f"{state} {name} level={entry['level']} {entry['timing'] * 1000:.1f} ms"
        lines.append(" ".join((f"{line}: {entry['message']}" if entry.get("message") else line).split()))
    return "\n".join(lines or ["pass"]) + "\n"


def html(report: Mapping[str, Any]) -> str:
    """Return a page: the state, and the report."""
    state, content = _overall(report), escape(json.dumps(report, indent=2, ensure_ascii=False))
    head = f'<meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Health: {state}</title>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}<h1>Health: {state}</h1><pre>{content}</pre></html>\n'


_MARGIN = 2.0  # beyond the deadline of the slowest check, for the way there and back


def together(answers: Answers, failure_status: int, siblings: Iterable[int] = ()) -> dict[str, Any]:
    """Return one report of all: ``summary`` ("3 of 4 pass"), who fails, who is missing, and each one's own report.

    ``siblings`` are processes of this family on this host: who of them did not answer is missing, whoever says so.
    """
    members = [answer for answer in answers.answers if isinstance(answer, Mapping)]

    def told(one: Any, **more: Any) -> dict[str, Any]:
        return {"hostname": one.hostname, "pid": one.pid, **more}

    failing = [
        {"hostname": member.get("hostname"), "pid": member.get("pid"), "checks": list(member["failures"])}
        for member in members
        if member.get("failures")
    ]
    failing += [told(one, message=f"{one.type}: {one.message}") for one in answers.failed]
    missing = [told(one, last_seen=one.last_seen) for one in (*answers.missing, *answers.late)]
    heard = {one.get("pid") for one in (*members, *missing, *failing)}
    silent = [pid for pid in siblings if pid not in heard]
    missing += [{"hostname": host_name(), "pid": pid, "last_seen": None} for pid in silent]
    known = len(members) + len(answers.failed) + len(missing)
    passing = known - len(failing) - len(missing)
    found = {
        "summary": f"{passing} of {known} pass",
        "complete": answers.complete and not silent,
        "failing": failing,
        "missing": missing,
        "members": members,
    }
    return found if passing == known else {"status": failure_status, **found}


def health_check(request: Any) -> Any:
    """Run the checks that the request asks for: ``max_level`` (default 1) and ``checks`` (names, by comma).

    With ``scope=all`` in every process of the service, for operators.
    """
    checks = request.registry["health_check"]
    given = request.GET
    max_level, names, scope = given.get("max_level"), given.getall("checks"), given.get("scope") or "one"
    try:
        if scope == "one":
            stacktraces = checks.settings.development or is_auth(request)
            return _in_form(request, checks.report(max_level, names, request, stacktraces=stacktraces))
        if scope != "all":
            raise SelectionError(f"scope must be one or all, not {scope[:50]!r}")  # noqa: TRY301 # as what select says
        checks.select(max_level, names)
    except SelectionError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    auth_view(request)
    slowest = max((check.timeout for check in checks.all), default=0.0)
    params = {"max_level": max_level, "checks": names}
    answers = broadcast.ask(channel("check", request.registry), params, timeout=slowest + _MARGIN)
    found = together(answers, checks.settings.failure_status, [one.pid for one in family().workers()])
    request.response.status_int = found.get("status", 200)
    return found


def live(request: Any) -> Any:
    """Look at this process only: its threads, and its part in broadcasts. It asks no other system."""
    return _in_form(request, request.registry["health_check"].live())


def ready(request: Any) -> Any:
    """Run the checks of level 1; fail once the service was told to stop."""
    checks = request.registry["health_check"]
    stacktraces = checks.settings.development or is_auth(request)
    return _in_form(request, checks.not_ready() or checks.report(None, (), request, stacktraces=stacktraces))


def _in_form(request: Any, found: Mapping[str, Any]) -> Any:
    """Return a report in the form that the client accepts."""
    status, checks = found.get("status", 200), request.registry["health_check"]
    offers = request.accept.acceptable_offers((JSON, HEALTH_JSON, HTML, TEXT))
    form = offers[0][0] if offers else JSON
    if form == JSON:
        request.response.status_int = status
        request.response.vary = ("Accept",)
        if not checks.settings.status_key:
            return {part: content for part, content in found.items() if part != "status"}
        return found
    if form == HEALTH_JSON:
        body = health_json(found, checks.versions.git_hash if checks.versions else None)
    else:
        body = html(found) if form == HTML else text(found)
    charset = {} if form == HEALTH_JSON else {"charset": "UTF-8"}
    answer = Response(body=body.encode(), status=status, content_type=form, **charset)
    answer.vary = ("Accept",)
    answer.headers["Content-Security-Policy"] = "default-src 'none'"
    return answer


def includeme(config: Configurator) -> None:
    """Add health checks and versions: ``config.include("c2c_health")``.

    Gives ``config.add_health_check(...)`` and, under the base path, ``health_check``, ``health/live``, ``health/ready``
    and, where there is a version file, ``versions.json``. ConfigurationError tells of a setting that can't be read.
    """
    checks = HealthCheck(config)
    config.add_directive("add_health_check", add_health_check)
    config.add_operator_view(health_check, name="health_check", path="/health_check", public=True)
    config.add_operator_view(live, name="health_live", path="/health/live", public=True)
    config.add_operator_view(ready, name="health_ready", path="/health/ready", public=True)
    everything = {"max_level": str(MOST)}
    links = [
        Link(title="Level 1", route="c2c_health_check", help="what the service can't work without"),
        Link(title="All", route="c2c_health_check", help="every check there is", query=everything),
        Link(title="Live", route="c2c_health_live", help="this process only"),
        Link(title="Ready", route="c2c_health_ready", help="may a balancer send requests here"),
    ]
    section = partial(Section, operators_only=False)
    if checks.versions is not None:
        warn_once(_LOG, "Starting version %s", checks.versions)
        content, public = checks.versions.content, checks.settings.versions_public
        config.add_operator_view(lambda _: content, name="versions", path="/versions.json", public=public)
        links.append(Link(title="Versions", route="c2c_versions", help="of the service and its packages"))
        packages = Live(title="Packages", kind="versions", route="c2c_versions", help="as the version file says")
        config.add_section(section(name="versions", title="Versions", order=85, live=(packages,)))
    shown = Live(title="Checks", kind="health", route="c2c_health_check", every=10.0, query=everything)
    config.add_section(section(name="health", title="Health checks", order=10, links=tuple(links), live=(shown,)))
    config.add_tween("c2c_health._views.tween_factory", under=INGRESS)


def add_health_check(config: Configurator, name: str, check_cb: Callable[[Any], Any], **options: Any) -> None:
    """Add a check, as ``HealthCheck(config).add_custom_check`` does."""
    HealthCheck(config).add_custom_check(name, check_cb, **options)


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween: it knows what each thread is busy with, and how long a request waited for it.

    Making it, the application goes live: a subscriber to ApplicationCreated would make Pyramid notify five events in
    each request.
    """
    checks: HealthCheck = registry["health_check"]
    checks.go_live()

    def tween(request: Any) -> Any:
        began = request.environ.get("HTTP_X_REQUEST_START")
        if began is not None and checks.queue_listeners:
            waited = queue_time(began, time.time())
            if waited is not None:
                for observe in checks.queue_listeners:
                    observe(waited)
        one = request_threads.begin(request)
        try:
            return handler(request)
        finally:
            request_threads.end(one)

    return tween
