"""The spy on Pyramid: one tween round the request, two view derivers round the rendering.

A tween costs 0.7 us, subscribers to NewRequest and BeforeRender 7 us each; derivers nothing where no view renders.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from c2c_stats import _server_timing
from c2c_stats._api import automatic
from c2c_stats._body import watch
from c2c_stats._request_totals import TOTALS
from c2c_stats._series import Timer
from c2c_stats._sink import SINK

NOT_FOUND = "_not_found"
OTHER = "_OTHER"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""RFC 9110, section 9.3, and RFC 5789."""

_BEGAN = "c2c_stats.rendering"
_RENDERED = "c2c_stats.rendered"
_UNCAUGHT = "500 Internal Server Error"
_UNKNOWN = "_"
_LOG = logging.getLogger(__name__)
_STORE = SINK.store
_SHORTCUTS = _STORE.shortcuts


@dataclass(slots=True)
class _Known:
    """What requests of one method, route and status are recorded to, and how Server-Timing describes them."""

    tags: dict[str, str]
    path: tuple[str, ...]
    route: Timer
    described: tuple[str, str]
    render: Timer | None = None
    measured_only: bool = False

    def rendering(self) -> Timer:
        """Return the timer of the rendering, made by the first one: most statuses are never rendered."""
        if self.render is None:
            self.render = automatic("timer", ("render",), self.tags, self.path)
        return self.render


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:  # noqa: ARG001 # Pyramid's
    """Return the tween of one application."""

    def tween(request: Any) -> Any:
        if not _STORE.on:
            return handler(request)
        sql = TOTALS.sql
        statements, sql_seconds = sql
        start = perf_counter()
        try:
            response = handler(request)
        except BaseException:
            _find(request.__dict__, _UNCAUGHT).route.observe(perf_counter() - start)
            raise
        seconds = perf_counter() - start
        try:
            attributes = request.__dict__
            if isinstance(response, Exception):
                response = _copy(response)
            known = _find(attributes, getattr(response, "status", _UNKNOWN))
            rendered = attributes.get(_RENDERED)
            if rendered is not None:
                (known.render or known.rendering()).observe(rendered)
            text = _server_timing.value(known.described, seconds, rendered, sql[0] - statements, sql[1] - sql_seconds)
            if known.measured_only:  # of a response class that is not WebOb's
                known.route.observe(seconds)
                return response
            _server_timing.put(response.headerlist, text)
            if type(response.app_iter) is list:
                known.route.observe(seconds)
            else:
                watch(response, request.environ, lambda: known.route.observe(perf_counter() - start))
        except Exception:  # noqa: BLE001 # whatever the application answers with, it is sent
            _LOG.debug("A response that can't be measured", exc_info=True)
        return response

    return tween


def _copy(answer: Any) -> Any:
    """Return an exception that is the answer as a new object: the header of one request is not for the next one.

    An application may raise one object, a constant, in many requests at once.
    """
    made = type(answer).__new__(type(answer), *answer.args)
    made.__dict__.update(answer.__dict__)
    made.headerlist = list(answer.headerlist)
    return made


def _find(attributes: dict[str, Any], status: str) -> _Known:
    """Return what is known of requests like this one.

    ``attributes`` are the request's own: reading them here is cheaper than WebOb's way, which looks at the environ.
    """
    route = attributes.get("matched_route")
    shortcut = (attributes["environ"].get("REQUEST_METHOD"), NOT_FOUND if route is None else route.name, status)
    found: _Known | None = _SHORTCUTS.get(shortcut)
    return _make(shortcut) if found is None else found


def _make(shortcut: tuple[str, str, str]) -> _Known:
    method, name, status = shortcut
    method = method if method in METHODS else OTHER
    code = status[:3]
    tags = {"method": method, "route": name, "status": code, "group": code[:1]}
    path = (method, name, code)
    timer = automatic("timer", ("route",), tags, path)
    found = _Known(tags, path, timer, _server_timing.described(name), measured_only=status is _UNKNOWN)
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
