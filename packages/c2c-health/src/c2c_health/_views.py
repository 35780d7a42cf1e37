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

from c2c_broadcast import Link, Live, Section, auth_view, broadcast, is_auth, json_error, load, masker_of
from c2c_broadcast.broadcast import Answers
from c2c_broadcast.process import family, host_name
from c2c_health import version
from c2c_health._check import SelectionError
from c2c_health._health_check import CHECKS, Checks, HealthCheck, add_health_check, checks_of
from c2c_health._request_threads import queue_time, request_threads
from c2c_health._settings import HealthSettings

_LOG = logging.getLogger(__name__)
JSON, HEALTH_JSON, HTML, TEXT = "application/json", "application/health+json", "text/html", "text/plain"
OFFERS = (JSON, HEALTH_JSON, HTML, TEXT)
"""What can be had; the first for a client that does not care."""

Report = Mapping[str, Any]

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Health: {state}</title></head>
<body><h1>Health: {state}</h1>
<table><thead><tr><th scope="col">Check</th><th scope="col">State</th><th scope="col">Level</th>
<th scope="col">ms</th><th scope="col">Message</th><th scope="col">Result</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _rows(report: Report) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield name, ``pass``, ``warn`` or ``fail``, and entry of each check: the failed ones first."""
    for name, entry in report["failures"].items():
        yield name, "fail", entry
    for name, entry in report["successes"].items():
        yield name, "warn" if "message" in entry else "pass", entry


def _overall(report: Report) -> str:
    found = {state for _, state, _ in _rows(report)}
    return next((state for state in ("fail", "warn") if state in found), "pass")


def health_json(report: Report, version: str | None = None) -> str:
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


def text(report: Report) -> str:
    """Return one line a check, the failed ones first."""
    lines = []
    for name, state, entry in _rows(report):
        line = f"{state} {name} level={entry['level']} {entry['timing'] * 1000:.1f} ms"
        lines.append(" ".join((f"{line}: {entry['message']}" if entry.get("message") else line).split()))
    return "\n".join(lines or ["pass"]) + "\n"


def html(report: Report) -> str:
    """Return a page with a table."""
    lines = []
    for name, state, entry in _rows(report):
        result = json.dumps(entry["result"], ensure_ascii=False) if "result" in entry else ""
        cells = (state, entry["level"], f"{entry['timing'] * 1000:.1f}", entry.get("message") or "", result)
        data = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{data}</tr>')
    return _PAGE.format(state=_overall(report), rows="\n".join(lines))


# -- every process ----------------------------------------------------------------------------------------------------

# Beyond the deadline of the slowest check, for the way there and back.
_MARGIN = 2.0


def _channel(registry: Any) -> str:
    return f"c2c_health_check {registry.package_name}"


def together(answers: Answers, failure_status: int, siblings: Iterable[int] = ()) -> dict[str, Any]:
    """Return one report of all: ``summary`` ("3 of 4 pass"), who fails, who is missing, and each one's own report.

    ``siblings`` are processes of this family on this host: who of them did not answer is missing, whoever says so.
    """
    members = [answer for answer in answers.answers if isinstance(answer, Mapping)]
    failing = [
        {"hostname": member.get("hostname"), "pid": member.get("pid"), "checks": list(member["failures"])}
        for member in members
        if member.get("failures")
    ]
    failing += [
        {"hostname": failure.hostname, "pid": failure.pid, "message": f"{failure.type}: {failure.message}"}
        for failure in answers.failed
    ]
    missing = [
        {"hostname": member.hostname, "pid": member.pid, "last_seen": member.last_seen}
        for member in (*answers.missing, *answers.late)
    ]
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


# -- the views --------------------------------------------------------------------------------------------------------


def health_check(request: Any) -> Any:
    """Run the checks that the request asks for: ``max_level`` (default 1) and ``checks`` (names, by comma).

    With ``scope=all`` in every process of the service, for operators.
    """
    checks = checks_of(request.registry)
    given = request.GET
    max_level, names, scope = given.get("max_level"), given.getall("checks"), given.get("scope") or "one"
    try:
        if scope == "one":
            return _in_form(request, checks.report(max_level, names, request, stacktraces=_sees_stacks(request)))
        if scope != "all":
            raise SelectionError(f"scope must be one or all, not {scope[:50]!r}")  # noqa: TRY301 # as what select says
        checks.select(max_level, names)
    except SelectionError as error:
        raise json_error(HTTPBadRequest, str(error)) from None
    auth_view(request)
    slowest = max((check.timeout for check in checks.all), default=0.0)
    params = {"max_level": max_level, "names": names}
    answers = broadcast.ask(_channel(request.registry), params, timeout=slowest + _MARGIN)
    found = together(answers, checks.settings.failure_status, [one.pid for one in family().workers()])
    request.response.status_int = found.get("status", 200)
    return found


def live(request: Any) -> Any:
    """Look at this process only: its threads, and its part in broadcasts. It asks no other system."""
    return _in_form(request, checks_of(request.registry).live())


def ready(request: Any) -> Any:
    """Run the checks of level 1; fail once the service was told to stop."""
    checks = checks_of(request.registry)
    found = checks.not_ready() or checks.report(None, (), request, stacktraces=_sees_stacks(request))
    return _in_form(request, found)


def versions(request: Any) -> Any:
    """Give the version file."""
    found = checks_of(request.registry).versions
    assert found is not None  # else there is no view
    return found.content


def _sees_stacks(request: Any) -> bool:
    return checks_of(request.registry).settings.development or is_auth(request)


def _in_form(request: Any, found: Report) -> Any:
    """Return a report in the form that the client accepts."""
    status = found.get("status", 200)
    offers = request.accept.acceptable_offers(OFFERS)
    form = offers[0][0] if offers else JSON
    if form == JSON:
        request.response.status_int = status
        request.response.vary = ("Accept",)
        if not checks_of(request.registry).settings.status_key:
            return {part: content for part, content in found.items() if part != "status"}
        return found
    if form == HEALTH_JSON:
        versions = checks_of(request.registry).versions
        body = health_json(found, versions.git_hash if versions else None)
    else:
        body = html(found) if form == HTML else text(found)
    charset = {} if form == HEALTH_JSON else {"charset": "UTF-8"}
    answer = Response(body=body.encode(), status=status, content_type=form, **charset)
    answer.vary = ("Accept",)
    answer.headers["Content-Security-Policy"] = "default-src 'none'"
    return answer


_EVERY_LEVEL = "1000000"
_LOOK_AGAIN = 10.0  # seconds


def includeme(config: Configurator) -> None:
    """Add health checks and versions: ``config.include("c2c_health")``.

    Gives ``config.add_health_check(...)`` and, under the base path, ``health_check``, ``health/live``, ``health/ready``
    and, where there is a version file, ``versions.json``; all of them are public.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = load(HealthSettings, config.get_settings())
    first = CHECKS not in config.registry
    if first:
        config.registry[CHECKS] = Checks(settings, config.registry, masker_of(config.registry))
    checks = checks_of(config.registry)
    HealthCheck(config)
    if first:
        checks.versions = version.read(checks.settings.versions_path)
        if checks.versions is not None:
            _LOG.warning("Starting version %s", checks.versions)
        broadcast.subscribe(
            _channel(config.registry),
            lambda max_level, names: checks.report(max_level, names, None, stacktraces=True),
        )
    config.add_directive("add_health_check", add_health_check)
    config.add_operator_view(health_check, name="health_check", path="/health_check", public=True)
    config.add_operator_view(live, name="health_live", path="/health/live", public=True)
    config.add_operator_view(ready, name="health_ready", path="/health/ready", public=True)
    links = [
        Link(title="Level 1", route="c2c_health_check", help="what the service can't work without"),
        Link(title="All", route="c2c_health_check", query={"max_level": _EVERY_LEVEL}, help="every check there is"),
        Link(title="Live", route="c2c_health_live", help="this process only"),
        Link(title="Ready", route="c2c_health_ready", help="may a balancer send requests here"),
    ]
    shown = Live(
        title="Checks", kind="health", route="c2c_health_check", query={"max_level": _EVERY_LEVEL}, every=_LOOK_AGAIN
    )
    section = partial(Section, operators_only=False)
    if checks.versions is not None:
        config.add_operator_view(versions, name="versions", path="/versions.json", public=settings.versions_public)
        links.append(Link(title="Versions", route="c2c_versions", help="of the service and its packages"))
        packages = Live(title="Packages", kind="versions", route="c2c_versions", help="as the version file says")
        config.add_section(section(name="versions", title="Versions", order=85, live=(packages,)))
    config.add_section(section(name="health", title="Health checks", order=10, links=tuple(links), live=(shown,)))
    config.add_tween("c2c_health._views.tween_factory", under=INGRESS)


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Return the tween: it knows what each thread is busy with, and how long a request waited for it.

    Making it, the application goes live: a subscriber to ApplicationCreated would make Pyramid notify five events in
    each request.
    """
    checks = checks_of(registry)
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
