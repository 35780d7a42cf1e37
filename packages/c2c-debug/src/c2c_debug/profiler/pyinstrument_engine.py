"""pyinstrument as the engine: its sampler looks at the request's thread each millisecond; its pages show what it saw.

What is ours is the list of requests, and the pie of packages.
"""

import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyinstrument.renderers import HTMLRenderer, SpeedscopeRenderer
from pyinstrument.session import Session as Recorded
from pyinstrument.stack_sampler import get_stack_sampler
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response

from c2c_broadcast import json_error
from c2c_debug.profiler.sessions import MOST, Session, Sessions

_INTERVAL = 0.001
_MOST_STACKS = 20_000
_DEEPEST = 200
_BELOW = f"\x00{Path(__file__).with_name('__init__.py')}\x00"  # a frame of the filter
OTHER = "other"

_OWN = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; base-uri 'none'"
# pyinstrument's page has its scripts and styles in it; it may be shown within ours.
_ITS = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:"
_PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
:root {{ color-scheme: light dark; }} body {{ font-family: system-ui; margin: 1rem; }}
th, td {{ text-align: left; padding: .2rem .6rem; overflow-wrap: anywhere; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.pie {{ display: flex; gap: 2rem; align-items: center; }}
.pie div {{ width: 12rem; height: 12rem; border-radius: 50%; }}
iframe {{ width: 100%; height: 85vh; border: 0; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""
_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#edc948", "#76b7b2", "#ff9da7", "#9c755f")


class Recording:
    """One request; its stacks are summed up while it runs."""

    def __init__(self) -> None:
        self._stacks: dict[tuple[str, ...], float] = {}

    def start(self) -> bool:
        """Begin, in the thread of the request."""
        get_stack_sampler().subscribe(self._see, desired_interval=_INTERVAL, use_async_context=False)
        return True

    def stop(self) -> None:
        """End, in the same thread."""
        get_stack_sampler().unsubscribe(self._see)

    def _see(self, stack: list[str], seconds: float, _state: Any) -> None:
        # What the filter called is the request.
        below = max((index for index, frame in enumerate(stack) if _BELOW in frame), default=-1)
        key = tuple(stack[below + 1 :][:_DEEPEST])
        if key in self._stacks or len(self._stacks) < _MOST_STACKS:
            self._stacks[key] = self._stacks.get(key, 0.0) + seconds

    def data(self, session: Session) -> Any:
        """Return what was recorded as pyinstrument's own session; its records are sums, by stack, below one root."""
        name = f"{session.method} {quote(session.path)}"  # stands in a script of the page
        root = f"{name}\x00<request>\x000"
        return Recorded(
            frame_records=[([root, *stack], seconds) for stack, seconds in sorted(self._stacks.items())],
            start_time=session.begun,
            duration=session.duration,
            min_interval=_INTERVAL,
            max_interval=_INTERVAL,
            sample_count=round(session.duration / _INTERVAL),
            start_call_stack=[""],
            target_description=name,
            cpu_time=0,
            sys_path=sys.path,
            sys_prefixes=Recorded.current_sys_prefixes(),
        ).to_json()


class Engine:
    """Recordings, and pages. ``flag`` is the file that says that requests are profiled."""

    recording = Recording

    def __init__(self, modules: tuple[str, ...], flag: Path, sessions: Sessions) -> None:
        self._modules = modules
        self._flag = flag
        self._sessions = sessions

    def add_pages(self, config: Any, *, public: bool) -> None:
        """Add the list, whose buttons change something by POST, and the pages of one request."""
        for view, name, path, changes in (
            (self.list, "profiler_list", "/", lambda request: request.method == "POST"),
            (self.session, "profiler_session", "/session/{id}", False),
            (self.rendered, "profiler_rendered", "/session/{id}/{form:html|speedscope}", False),
        ):
            config.add_operator_view(view, name=name, path=path, renderer=None, public=public, changes_state=changes)

    def list(self, request: Any) -> Any:
        """Show whether profiling is enabled, and the profiled requests; a POST enables, disables, deletes."""
        if request.method == "POST":
            if "enable" in request.params:
                self._flag.touch(0o600)  # in all processes
            elif "disable" in request.params:
                self._flag.unlink(missing_ok=True)
            else:
                self._sessions.delete(None if "all" in request.params else request.params.getall("id"))
            return HTTPSeeOther(request.route_path("c2c_profiler_list"))
        on = self._flag.exists()
        rows = "".join(
            f'<tr><td><input type="checkbox" name="id" value="{one.id}" aria-label="choose {one.id}"></td>'
            f'<td>{one.when}</td><td class="number">{_milliseconds(one.duration)}</td><td>{escape(one.method)}</td>'
            f'<td><a href="{request.route_path("c2c_profiler_session", id=one.id)}">{escape(one.path)}</a></td>'
            f"<td>{escape(one.status)}</td></tr>"
            for one in self._sessions.all()
        )
        switch = "disable" if on else "enable"
        body = (
            f"<p>Profiling is <strong>{'enabled' if on else 'disabled'}</strong>. Engine: pyinstrument. "
            f"The newest {MOST} requests are kept, until the service ends.</p>"
            f'<form method="post"><p><button name="{switch}">{switch.capitalize()} profiling</button>'
            ' <button>Delete the chosen</button> <button name="all">Delete all</button></p><table>'
            "<tr><th></th><th>Time</th><th>Duration</th><th>Method</th><th>Path</th><th>Status</th></tr>"
            f"{rows}</table></form>"
        )
        return _page("Profiler", body)

    def session(self, request: Any) -> Any:
        """Show one request: the pie of packages, and pyinstrument's page."""
        one, data = self._find(request)
        html, speedscope = (
            request.route_path("c2c_profiler_rendered", id=one.id, form=form) for form in ("html", "speedscope")
        )
        body = (
            f'<p><a href="{request.route_path("c2c_profiler_list")}">All requests</a> '
            f'<a href="{html}">Call tree alone</a> <a href="{speedscope}">For speedscope.app</a></p>'
            f"<p>{one.when}, {_milliseconds(one.duration)}, status {escape(one.status or '?')}</p>"
            f"{pie(shares(data, self._modules)) if self._modules else ''}"
            f'<iframe src="{html}" title="call tree and flame graph"></iframe>'
        )
        return _page(f"{one.method} {one.path}", body)

    def rendered(self, request: Any) -> Any:
        """Give one request as pyinstrument renders it."""
        recorded = Recorded.from_json(self._find(request)[1])
        if request.matchdict["form"] == "speedscope":
            text = SpeedscopeRenderer().render(recorded)
            return Response(text, content_type="application/json", charset="UTF-8")
        return _answer(HTMLRenderer().render(recorded), f"{_ITS}; frame-ancestors 'self'")

    def _find(self, request: Any) -> tuple[Session, Any]:
        found = self._sessions.get(request.matchdict["id"])
        if found is None:
            raise json_error(HTTPNotFound, "There is no such request: it was deleted, or newer ones took its place")
        return found


def shares(data: Any, modules: tuple[str, ...]) -> dict[str, float]:
    """Return seconds by package: a frame's own time is of the innermost package among itself and its callers."""
    # The longest first: a package's own subpackage wins.
    parts = {one: one.replace(".", "/") for one in sorted(modules, key=len, reverse=True)}
    found = dict.fromkeys([*modules, OTHER], 0.0)
    for stack, seconds in data["frame_records"]:
        files = (frame.split("\x00")[1] for frame in reversed(stack) if frame.count("\x00") > 1)
        owners = (
            one for file in files for one, part in parts.items() if f"/{part}/" in file or file.endswith(f"/{part}.py")
        )
        found[next(owners, OTHER)] += seconds
    return found


def pie(found: Mapping[str, float]) -> str:
    """Return shares as a pie with a table beside it."""
    total = sum(found.values()) or 1.0
    slices, rows, end = [], [], 0.0
    for number, (name, seconds) in enumerate(found.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        start, end = end, end + seconds / total
        slices.append(f"{colour} {start:.2%} {end:.2%}")
        rows.append(
            f'<tr><td style="background: {colour}"></td><td>{escape(name)}</td>'
            f'<td class="number">{_milliseconds(seconds)}</td><td class="number">{seconds / total:.1%}</td></tr>'
        )
    circle = f'<div style="background: conic-gradient({", ".join(slices)})"></div>'
    return f'<h2>Time by package</h2><div class="pie">{circle}<table>{"".join(rows)}</table></div>'


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _page(title: str, body: str) -> Any:
    return _answer(_PAGE.format(title=escape(title), body=body), f"{_OWN}; frame-ancestors 'none'")


def _answer(html: str, policy: str) -> Any:
    response = Response(html, content_type="text/html", charset="UTF-8")
    # Headers given to WebOb's Response would take the place of Content-Type.
    response.headers.update({"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})
    return response
