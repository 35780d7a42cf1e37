"""Requests in flight: what each thread of each process does at this moment, read from files, so that nobody is asked.

with in_flight("import of tiles"):
    ...
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.tweens import INGRESS
from pyramid.viewderivers import VIEW

from c2c_broadcast import mask, masker_of
from c2c_broadcast.command import Parser
from c2c_broadcast.process import host_name
from c2c_debug.running import phases
from c2c_debug.running.lost import Watch, all_files, begin, count_with, family_files, sweep, take_over
from c2c_debug.running.table import TABLE, Running, read

__all__ = ["Watch", "begin", "count_with", "in_flight", "includeme", "listing", "main", "take_over", "text", "view"]

_FORMS = ("application/json", "text/plain")


@contextlib.contextmanager
def in_flight(name: str) -> Iterator[None]:
    """Show work that is no request among those in flight; within a request this is a part of it, and not shown."""
    phases.install()
    begin()
    row = TABLE.row()
    if row is None or row.base:
        yield
        return
    begun = row.begin(f"\0\0\0{name}", {})
    try:
        yield
    finally:
        row.end(begun)


def includeme(config: Configurator) -> None:
    """Give each request of this application a row."""
    config.add_tween("c2c_debug.running.phases.tween_factory", under=INGRESS)
    config.add_view_deriver(phases.around_view, "c2c_debug_view", under="rendered_view", over=VIEW)
    config.add_view_deriver(
        phases.around_rendering, "c2c_debug_rendering", under="decorated_view", over="rendered_view"
    )
    config.action("c2c_debug.running", phases.install)


def listing(*, everybody: bool = False) -> list[dict[str, Any]]:
    """Return what goes on in this service's processes, or in all of this user's, the longest first.

    ``[{"hostname", "pid", "thread", "method", "path", "route", "id", "client", "seconds", "phase", "phase_seconds",
    "text", "backend_pid"}]``: ``text`` is the statement, address or command that is waited for; other work than
    requests has a path alone, its name. Asks no process; a stopped one is shown, too. Not masked.
    """
    found = []
    with contextlib.suppress(OSError):
        for process, path in all_files() if everybody else family_files():
            with contextlib.suppress(OSError):
                if process.alive:
                    found += [_shown(process.pid, one) for one in read(path)]
    return sorted(found, key=lambda one: -one["seconds"])


def _shown(pid: int, one: Running) -> dict[str, Any]:
    now = time.monotonic()
    return {
        "hostname": host_name(),
        "pid": pid,
        "thread": one.thread,
        "method": one.method,
        "path": one.path,
        "route": one.route or None,
        "id": one.id or None,
        "client": one.client or None,
        "seconds": round(max(now - one.begun, 0), 3),
        "phase": one.phase,
        "phase_seconds": round(max(now - one.since, 0), 3),
        "text": one.text or None,
        "backend_pid": one.backend or None,
    }


def view(request: Any) -> Any:
    """Give what goes on in every process of this service, as JSON or ``text/plain``."""
    with contextlib.suppress(OSError):  # that there is no folder is said already
        sweep()
    found = masker_of(request.registry).data(listing())
    offers = request.accept.acceptable_offers(_FORMS)
    request.response.vary = ("Accept",)
    if offers and offers[0][0] == "text/plain":
        return Response(text(found), content_type="text/plain", charset="UTF-8", vary=("Accept",))
    return {"running": found}


def text(entries: list[dict[str, Any]] | None = None) -> str:
    """Return a listing as lines for people; without one that of all processes of this user, masked."""
    entries = mask.data(listing(everybody=True)) if entries is None else entries
    return "".join(f"{_line(one)}\n" for one in entries) or "Nothing is in flight.\n"


def _line(one: dict[str, Any]) -> str:
    names = [f"{name} {one[name]}" for name in ("route", "id", "client") if one[name]]
    backend = f", database process {one['backend_pid']}" if one["backend_pid"] else ""
    waits = f"{one['phase']} for {one['phase_seconds']:.1f} s{backend}" + (f": {one['text']}" if one["text"] else "")
    what = f"{one['method']} {one['path']}".strip()
    return f"{one['seconds']:8.1f} s  {one['hostname']}/{one['pid']}  {', '.join([what, *names])}; {waits}"


def main(arguments: list[str] | None = None) -> int:
    """Show what is in flight in all processes of this user on this host: ``c2c-running``."""
    about = "Show the requests that are being handled by this user's processes."
    Parser("c2c-debug", prog="c2c-running", description=about).parse_args(arguments)
    sys.stdout.write(text())
    return 0
