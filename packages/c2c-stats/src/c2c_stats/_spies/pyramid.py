"""The spy on Pyramid: one tween round the request, two view derivers round the rendering.

A tween costs 0.7 us, subscribers to NewRequest and BeforeRender 7 us each; derivers nothing where no view renders.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from c2c_stats._api import automatic
from c2c_stats._series import Timer
from c2c_stats._sink import SINK
from c2c_stats._spies import SQL

_NAME = "Server-Timing"
_LONGEST = 100


def described(route: str) -> str:
    """Return the header's begin, ``route;desc="name"``: a quoted-string of RFC 9110, section 5.6.4."""
    text = "".join(char if " " <= char <= "~" else "_" for char in route[:_LONGEST])
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'route;desc="{quoted}"'


def server_timing(begin: str, total: float, render: float | None, statements: float, sql: float) -> str:
    """Return the header's value; ``begin`` is as ``described`` gave it, durations are in seconds."""
    text = f"{begin}, total;dur={total * 1000:.3f}"
    if render is not None:
        text += f", render;dur={render * 1000:.3f}"
    if statements:
        text += f', db;dur={sql * 1000:.3f};desc="{statements:.0f} {"query" if statements == 1 else "queries"}"'
    return text


def put_header(headers: list[tuple[str, str]], text: str) -> None:
    """Add the header; in place of ours, where the application gives out one response object again and again."""
    for index, (name, value) in enumerate(headers):
        if name == _NAME and value.startswith("route;desc="):
            headers[index] = (_NAME, text)  # in one step: another thread may be giving out the same response
            return
    headers.append((_NAME, text))


class TimedBody:
    """A WSGI body that calls ``done`` once: at its end, at its failure, or when the server closes it."""

    app_iter_range: Callable[[int, int], Any]

    def __init__(self, body: Any, done: Callable[[], None]) -> None:
        self.body = body
        if hasattr(body, "app_iter_range"):  # WebOb asks it for a part of itself where a range is wanted
            self.app_iter_range = lambda start, stop: TimedBody(body.app_iter_range(start, stop), self._finish)
        self._done: Callable[[], None] | None = done
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._parts = self._parts or iter(self.body)
        try:
            return next(self._parts)
        except BaseException:
            self._finish()
            raise

    def close(self) -> None:
        try:
            getattr(self.body, "close", bool)()
        finally:
            self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()


def watch(response: Any, environ: dict[str, Any], done: Callable[[], None]) -> None:
    """Call ``done`` once the body is out; at once where it is complete already."""
    body = response.app_iter
    if isinstance(body, TimedBody):
        body = body.body  # one response object, given out again
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper in type(body).__mro__:
        # A server sends these by sendfile(2), which it does for its own class only.
        try:
            body.close = TimedBody(SimpleNamespace(close=body.close), done).close
        except AttributeError:  # it has none, or takes none
            done()
    elif hasattr(body, "__len__"):
        done()  # complete; and servers know the length of what has one
    else:
        headers = response.headerlist[:]
        response.app_iter = TimedBody(body, done)
        # WebOb drops Content-Length, which it takes for the one of the body before.
        response.headerlist[:] = headers


NOT_FOUND = "_not_found"
OTHER = "_OTHER"
# RFC 9110, section 9.3, and RFC 5789.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})

_BEGAN = "c2c_stats.rendering"
_RENDERED = "c2c_stats.rendered"
_UNCAUGHT = "500 Internal Server Error"
_UNKNOWN = "_"
_LOG = logging.getLogger(__name__)
_STORE = SINK
_SHORTCUTS = _STORE.shortcuts


@dataclass(slots=True)
class _Known:
    """What requests of one method, route and status are recorded to, and how Server-Timing describes them."""

    tags: dict[str, str]
    path: tuple[str, ...]
    route: Timer
    described: str
    render: Timer | None = None  # of those that are rendered


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:  # noqa: ARG001 # Pyramid's
    """Return the tween of one application."""

    def tween(request: Any) -> Any:
        if not _STORE.on:
            return handler(request)
        outer, sql = SQL.get(None), [0, 0.0]
        SQL.set(sql)
        start = perf_counter()
        try:
            response = handler(request)
        except BaseException:
            _find(request.__dict__, _UNCAUGHT).route.observe(perf_counter() - start)
            raise
        finally:
            if outer is not None:  # of the request that this one is a part of
                outer[0] += sql[0]
                outer[1] += sql[1]
                SQL.set(outer)
        seconds = perf_counter() - start
        try:
            attributes = request.__dict__
            if isinstance(response, Exception):
                response = _copy(response)
            status = getattr(response, "status", _UNKNOWN)
            known = _find(attributes, status)
            rendered = attributes.get(_RENDERED)
            if rendered is not None:
                known.render = known.render or automatic("timer", ("render",), known.tags, known.path)
                known.render.observe(rendered)
            text = server_timing(known.described, seconds, rendered, sql[0], sql[1])
            if status is _UNKNOWN:  # of a response class that is not WebOb's
                known.route.observe(seconds)
                return response
            put_header(response.headerlist, text)
            if type(response.app_iter) is list:
                known.route.observe(seconds)
            else:
                watch(response, request.environ, lambda: known.route.observe(perf_counter() - start))
        except Exception:  # noqa: BLE001 # whatever the application answers with, it is sent
            _LOG.debug("A response that can't be measured", exc_info=True)
        return response

    return tween


def _copy(answer: Any) -> Any:
    # An application may raise one object, a constant, in many requests at once: the header of one is not for the next.
    made = type(answer).__new__(type(answer), *answer.args)
    made.__dict__.update(answer.__dict__)
    made.headerlist = list(answer.headerlist)
    return made


def _find(attributes: dict[str, Any], status: str) -> _Known:
    # ``attributes`` are the request's own: reading them here is cheaper than WebOb's way, which looks at the environ.
    route = attributes.get("matched_route")
    shortcut = (attributes["environ"].get("REQUEST_METHOD"), NOT_FOUND if route is None else route.name, status)
    found: _Known | None = _SHORTCUTS.get(shortcut)
    if found is None:
        method, name, code = shortcut[0] if shortcut[0] in METHODS else OTHER, shortcut[1], status[:3]
        tags = {"method": method, "route": name, "status": code, "group": code[:1]}
        path = (method, name, code)
        found = _Known(tags, path, automatic("timer", ("route",), tags, path), described(name))
        _STORE.remember(shortcut, found)
    return found


def before_render(view: Any, info: Any) -> Any:
    """View deriver next to the view: when it has returned what is to be rendered, rendering begins."""
    if info.options.get("renderer") is None:
        return view

    def timed(context: Any, request: Any) -> Any:
        result = view(context, request)
        request.__dict__[_BEGAN] = (result, perf_counter())
        return result

    return timed


def after_render(view: Any, info: Any) -> Any:
    """View deriver round the rendering: it ends here, with a response that the view did not make itself."""
    if info.options.get("renderer") is None:
        return view

    def timed(context: Any, request: Any) -> Any:
        response = view(context, request)
        attributes = request.__dict__
        result, began = attributes.pop(_BEGAN, (response, 0.0))
        if result is not response:
            attributes[_RENDERED] = attributes.get(_RENDERED, 0.0) + perf_counter() - began
        return response

    return timed
