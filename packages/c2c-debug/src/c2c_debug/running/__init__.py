"""Requests in flight: what each thread of each process does at this moment, read from files, so that nobody is asked.

with in_flight("import of tiles"):
    ...
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.tweens import INGRESS
from pyramid.viewderivers import VIEW

from c2c_broadcast import mask, masker_of
from c2c_broadcast.process import host_name
from c2c_debug.running import phases
from c2c_debug.running.lost import Watch, begin, count_with, files, sweep, what
from c2c_debug.running.table import TABLE, read

__all__ = ["Watch", "begin", "count_with", "in_flight", "includeme", "listing", "text", "view"]

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
    return _listing(everybody=everybody)[0]


def _listing(*, everybody: bool) -> tuple[list[dict[str, Any]], bool]:
    """Return it, and whether it is complete: not where a file can't be read, or had no room."""
    found, complete = [], True
    try:
        for _, process, path in files(everybody=everybody):
            try:
                rows = read(path, time.monotonic()) if process.alive else []
                complete = complete and (path.stat().st_size > 0 or not process.alive)
            except FileNotFoundError:  # it has just ended
                continue
            except OSError:
                complete = False
                continue
            found += [{"hostname": host_name(), "pid": process.pid, **row} for row in rows]
    except OSError:
        complete = False
    return sorted(found, key=lambda one: -one["seconds"]), complete


def view(request: Any) -> Any:
    """Give what goes on in every process of this service, as JSON or ``text/plain``."""
    with contextlib.suppress(OSError):  # that there is no folder is said already
        sweep()
    entries, complete = _listing(everybody=False)
    found = masker_of(request.registry).data(entries)
    offers = request.accept.acceptable_offers(_FORMS)
    request.response.vary = ("Accept",)
    if offers and offers[0][0] == "text/plain":
        shown = text(found) + ("" if complete else "Not all processes can be read.\n")
        return Response(shown, content_type="text/plain", charset="UTF-8", vary=("Accept",))
    return {"running": found, "complete": complete}


def text(entries: list[dict[str, Any]] | None = None) -> str:
    """Return a listing as lines for people; without one that of all processes of this user, masked."""
    entries = mask.data(listing(everybody=True)) if entries is None else entries
    return "".join(f"{_line(one)}\n" for one in entries) or "Nothing is in flight.\n"


def _line(one: dict[str, Any]) -> str:
    backend = f", database process {one['backend_pid']}" if one["backend_pid"] else ""
    waits = f"{one['phase']} for {one['phase_seconds']:.1f} s{backend}" + (f": {one['text']}" if one["text"] else "")
    return f"{one['seconds']:8.1f} s  {one['hostname']}/{one['pid']}  {what(one, 'route', 'id', 'client')}; {waits}"
