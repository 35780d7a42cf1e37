"""Operators: what they may do, and the views that only they see.

Views are guarded by a view deriver, so that none can forget its check; all of them together are one route of the
application. Credentials are judged in one place, once a request, and there wrong ones are counted.
"""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pyramid import httpexceptions
from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.httpexceptions import HTTPException, HTTPForbidden
from pyramid.interfaces import IRendererFactory
from pyramid.renderers import JSON
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.traversal import DefaultRootFactory
from pyramid.tweens import INGRESS

from c2c_broadcast import broadcast
from c2c_broadcast._access import LONGEST_FORM, RANKS, Credentials, Level, OperatorPolicy, SecretPolicy, parameters
from c2c_broadcast._errors import json_error
from c2c_broadcast.requests import add_request_attribute
from c2c_broadcast.sections import add_section
from c2c_broadcast.settings import SETTINGS, BroadcastSettings, load, settings_of, warn_of_names

_LOG = logging.getLogger(__name__)
_AUDIT = logging.getLogger("c2c_broadcast.audit")
_KEY = "c2c_broadcast.operators"
_HOW = "give the secret as parameter `secret` or header X-API-Key"

# -- one application's operators ---------------------------------------------------------------------------------------


class Operators:
    """The policies of one application, and the operator views that wait until there is one."""

    def __init__(self, secret: str | None) -> None:
        # An application that is mounted in another one gets its environ, and may have another secret.
        self._in_environ = f"c2c_broadcast.credentials.{id(self)}"
        self.policies: list[OperatorPolicy] = [SecretPolicy(secret)] if secret else []
        self.waiting: list[Callable[[], None]] = []
        self.routes: dict[str, _Routes] = {}

    def judge(self, request: Any) -> Credentials:
        """Return the best of what the policies find in the request. Looked at once a request, raises nothing."""
        found: Credentials | None = request.environ.get(self._in_environ)
        if found is None:
            each = [_judged(policy, request) for policy in self.policies]
            found = max(each, key=lambda one: (RANKS[one.level], one.way != "none"), default=Credentials())
            request.environ[self._in_environ] = found
        return found

    def require(self, request: Any, level: Level = "operate", *, changes_state: bool = False) -> None:
        """Raise unless who asks may do that.

        Raises:
            HTTPForbidden: Not enough, or a cookie where that is not enough.
            HTTPTooManyRequests: The client's address is locked; ``Retry-After`` says for how many seconds.
        """
        credentials = self.judge(request)
        if credentials.way == "locked":
            seconds = int(credentials.retry_after) + 1
            message = f"Too many wrong secrets from your address: try again in {seconds} s"
            raise json_error(httpexceptions.HTTPTooManyRequests, message, {"Retry-After": str(seconds)})
        if not credentials.at_least(level):
            links = filter(None, (policy.challenge(request) for policy in self.policies))
            why = "; ".join(["this is for operators", *(f"log in at {link}" for link in links)])
            if credentials.identity:
                why = f"{credentials.identity} may not do this"
            if credentials.way == "wrong":
                why = "wrong secret"
            raise json_error(HTTPForbidden, f"Missing or invalid secret ({why}): {_HOW}")
        if changes_state and credentials.way not in {"secret", "header"}:
            _require_same_origin(request)


def _judged(policy: OperatorPolicy, request: Any) -> Credentials:
    try:
        return policy.judge(request)
    except Exception:  # noqa: BLE001 # whatever a client sent must end in a plain "no"
        _LOG.debug("Unreadable credentials", exc_info=True)
        return Credentials()


def _require_same_origin(request: Any) -> None:
    if request.method in {"GET", "HEAD"}:
        raise json_error(HTTPForbidden, f"The cookie alone does not change anything by GET: use POST, or {_HOW}")
    # Fetch Metadata (W3C), else Origin (RFC 6454).
    site = request.headers.get("Sec-Fetch-Site")
    same = site == "same-origin"
    if site is None:
        with contextlib.suppress(ValueError):  # http://[
            same = urlsplit(request.headers.get("Origin", ""))[:2] == (request.scheme, request.host.lower())
    if not same:
        raise json_error(HTTPForbidden, f"The cookie changes nothing from another site: {_HOW}")


def operators_of(registry: Any) -> Operators:
    """Return what an application that included the base knows of its operators."""
    found: Operators = registry[_KEY]
    return found


def is_auth(request: Any, level: Level = "operate") -> bool:
    """Tell whether the request comes from an operator of this level. Never raises."""
    found = request.registry.get(_KEY)
    return found is not None and found.judge(request).at_least(level)


def auth_view(request: Any) -> None:
    """Let only operators pass.

    Raises:
        HTTPForbidden: The request is not an operator's.
        HTTPTooManyRequests: Its address sent too many wrong secrets.
    """
    found = request.registry.get(_KEY)
    if found is None:
        raise json_error(HTTPForbidden, "No operator access: config.include('c2c_broadcast') is missing")
    found.require(request)


# -- operator views ----------------------------------------------------------------------------------------------------

_ROUTE = "c2c_broadcast.route"


@dataclass(frozen=True, slots=True)
class _Guard:
    """How an operator view is guarded: the option that the deriver reads, and the predicate by which it is found."""

    route: str
    pattern: str
    public: bool
    methods: tuple[str, ...]
    level: Level
    changes: Callable[[Any], bool]
    off: str | None

    def text(self) -> str:
        """Return what Pyramid's tools show."""
        return f"c2c_view = {self.route}"

    phash = text

    def __call__(self, _context: Any, request: Any) -> bool:
        """Tell whether the request is for this view, of all the views of the one route."""
        route = request.environ.get(_ROUTE)
        return route is not None and route.name == self.route


class _Routes:
    """The operator views below one path: the predicate of the one route that they are in the application."""

    def __init__(self, operators: Operators, mapper: Any) -> None:
        self._operators = operators
        self._mapper = mapper
        self.guards: list[_Guard] = []

    def text(self) -> str:
        """Return what Pyramid's tools show."""
        return "c2c_routes"

    phash = text

    def __call__(self, info: dict[str, Any], request: Any) -> bool:
        """Tell whether the path is that of a view; if so, the request has what matched in that view's own pattern."""
        for guard in self.guards:
            route = self._mapper.get_route(guard.route)
            match = route.match(request.path_info)
            if match is not None and (guard.off is None or self._operators.judge(request).at_least("operate")):
                info["match"].clear()
                info["match"].update(match)
                request.environ[_ROUTE] = route
                return True
        return False


def add_operator_view(
    config: Configurator,
    view: Any,
    name: str,
    path: str,
    renderer: Any = "fast_json",
    public: bool = False,
    methods: str | Iterable[str] = ("GET",),
    changes_state: bool | Callable[[Any], bool] = False,
    level: Level = "operate",
    off: str | None = None,
) -> None:
    """Add a view for operators: route ``c2c_<name>`` at base path + ``path``, never cached.

    Not added where nobody can be an operator (no secret, no other policy), unless it is ``public``. HEAD comes with
    GET; a view that changes state (``changes_state``: a boolean, or a function of the request) takes POST too, asks
    for the same origin where a cookie is all the client has, and, public or not, for an operator where there may be
    one. A view of another method is 405. ``level="read"`` is for views that only show. ``off`` names the variable that
    switches the view on: with it the view is not added, and an operator who asks for it reads that name in the 404.
    """
    operators = operators_of(config.registry)
    allowed = {method.upper() for method in ((methods,) if isinstance(methods, str) else methods)}
    allowed |= {"POST"} if changes_state else set()
    allowed |= {"HEAD"} if "GET" in allowed else set()
    base_path = settings_of(config.registry).base_path
    pattern = base_path + "/" + path.strip("/") if path.strip("/") else base_path + path
    changes = changes_state if callable(changes_state) else lambda _request: changes_state
    guard = _Guard(f"c2c_{name}", pattern, public and not off, tuple(sorted(allowed)), level, changes, off)
    if off is None:
        shown = config.introspectable("c2c operator views", name, f"{pattern} ({guard.route})", "c2c operator view")
        shown.update(
            {"route": guard.route, "pattern": pattern, "public": public, "methods": guard.methods, "view": view}
        )
    else:
        why = f"{pattern} is off: set {off}"
        view, renderer, shown = (lambda _request: json_error(httpexceptions.HTTPNotFound, why)), None, None
    if guard.public or operators.policies:
        _add(config, name, view, renderer, guard, shown)
    else:
        # In a configurator of the same route prefix, though this one may have another when a policy comes.
        here = config.with_package(config.package)
        operators.waiting.append(partial(_add, here, name, view, renderer, guard, shown))


def _add(config: Configurator, name: str, view: Any, renderer: Any, guard: _Guard, shown: Any) -> None:
    if shown is not None:
        config.action(("c2c operator view", name), None, introspectables=(shown,))
    operators = operators_of(config.registry)
    below = settings_of(config.registry).base_path
    one = f"c2c {config.route_prefix or ''}{below}"
    # Nothing of the application's own decides who may see it, or fails before it answers: neither its root factory
    # (which may need the database that a check is about), nor its default permission, nor its CSRF tokens.
    if one not in operators.routes:
        routes = operators.routes[one] = _Routes(operators, config.get_routes_mapper())
        # Whatever begins so: an application's request is compared with this, and with nothing else of ours.
        config.add_route(one, f"{below}*rest", factory=DefaultRootFactory, c2c_routes=routes)
    operators.routes[one].guards.append(guard)
    # A static route is never matched: it is there for its address.
    config.add_route(guard.route, guard.pattern, static=True)
    config.add_view(
        view,
        route_name=one,
        renderer=renderer,
        http_cache=0,
        permission=NO_PERMISSION_REQUIRED,
        require_csrf=False,
        c2c_view=guard,
        c2c_operator=guard,
    )


def add_operator_policy(config: Configurator, policy: OperatorPolicy) -> None:
    """Know operators by one more policy; the views that waited for one are added."""
    operators = operators_of(config.registry)
    if policy not in operators.policies:
        operators.policies.append(policy)
    waiting, operators.waiting = operators.waiting, []
    for add in waiting:
        add()


def guard_view(view: Callable[[Any, Any], Any], info: Any) -> Callable[[Any, Any], Any]:
    """View deriver: let only those see an operator view who may. A view without the option stays as it is."""
    guard: _Guard | None = info.options.get("c2c_operator")
    if guard is None:
        return view

    def guarded(context: Any, request: Any) -> Any:
        request.matched_route = request.environ.get(_ROUTE, request.matched_route)
        request.add_response_callback(_finish)
        try:
            changes = _check(request, guard)
        except HTTPException as refusal:
            # Returned, not raised: the application's forbidden view, a log-in page for example, is not for operators.
            return refusal
        if not changes:
            return _seen(view, context, request)
        outcome: Any = "failed"
        try:
            response = _seen(view, context, request)
            outcome = response.status_int
        except HTTPException as error:
            outcome = error.status_int
            raise
        finally:
            who = operators_of(request.registry).judge(request)
            address = request.environ.get("REMOTE_ADDR") or "(no address)"
            what = f"{request.method} {request.path}"
            _AUDIT.info("%s (%s) from %s: %s: %s", who.identity or "anybody", who.way, address, what, outcome)
        return response

    return guarded


def _seen(view: Callable[[Any, Any], Any], context: Any, request: Any) -> Any:
    """Return what a view answers; where it has to open something and can't, the reason is no traceback."""
    try:
        return view(context, request)
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        message = f"This process can open nothing more ({error.strerror}), and this view has to: ask another one"
        return json_error(httpexceptions.HTTPServiceUnavailable, message)


guard_view.options = ("c2c_operator",)  # type: ignore[attr-defined] # how Pyramid learns a deriver's options


def _check(request: Any, guard: _Guard) -> bool:
    """Return whether this changes state; raise unless the client may, the method is the view's and it can be read."""
    operators = operators_of(request.registry)
    # Before anything is answered: a wrong secret counts whatever comes of the request.
    operators.judge(request)
    if request.method not in guard.methods:
        allowed = ", ".join(guard.methods)
        message = f"{request.method} is not for this view: use {allowed}"
        raise json_error(httpexceptions.HTTPMethodNotAllowed, message, {"Allow": allowed})
    unreadable = _unreadable(request)
    changes = unreadable is None and guard.changes(request)
    if not guard.public or (changes and operators.policies):
        operators.require(request, "operate" if changes else guard.level, changes_state=changes)
    if unreadable is not None:
        raise unreadable
    return changes


def _unreadable(request: Any) -> HTTPException | None:
    """Return the refusal of what can't be read, or may be of any size: views ask for the form without a thought."""
    length = request.content_length
    if length is None:
        if request.headers.get("Transfer-Encoding"):
            message = "A form here says its length: Content-Length, not chunked"
            return json_error(httpexceptions.HTTPLengthRequired, message)
        request.environ["CONTENT_LENGTH"] = "0"  # no body (RFC 9112, 6.3), whatever the server's file would give
    elif length > LONGEST_FORM:
        return json_error(httpexceptions.HTTPRequestEntityTooLarge, f"A form here has at most {LONGEST_FORM} bytes")
    try:
        for _ in parameters(request):
            pass
    except ValueError as error:
        if isinstance(error.__cause__, DeprecationWarning):
            return json_error(httpexceptions.HTTPUnsupportedMediaType, "The form's charset must be UTF-8")
        return json_error(httpexceptions.HTTPBadRequest, "The query or the form can't be read: UTF-8, percent-encoded")
    return None


def _finish(request: Any, response: Any) -> None:
    """Last thing on each answer, errors too: never cached, and what policies remember by, on no error."""
    if response.status_int < httpexceptions.HTTPBadRequest.code:
        for policy in operators_of(request.registry).policies:
            policy.remember(request, response)
    if "no-cache" not in (response.headers.get("Cache-Control") or ""):
        response.cache_expires(0)


# -- the include -------------------------------------------------------------------------------------------------------


def include_below(config: Configurator, path: str, registry: Any = None) -> None:
    """Include the base into an application of one's own below ``path``, instead of ``C2C_BASE_PATH``.

    It has the operators of the application of ``registry``, where that has the same secret.
    """
    settings = replace(load(BroadcastSettings, config.get_settings()), base_path=path)
    config.registry[SETTINGS] = settings
    known = config.registry[_KEY] = Operators(settings.secret)
    if registry is not None and _KEY in registry and settings_of(registry).secret == settings.secret:
        known.policies = operators_of(registry).policies
    includeme(config)


def includeme(config: Configurator) -> None:
    """Add the base: ``config.include("c2c_broadcast")``.

    Gives ``config.add_operator_view(...)``, ``add_operator_policy``, ``add_section`` and ``add_request_attribute``,
    sets the process's broadcaster up (it begins to listen with the first request), and guards operator views.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    first = SETTINGS not in config.registry
    settings = config.registry.setdefault(SETTINGS, load(BroadcastSettings, config.get_settings()))
    if first:
        config.registry[_KEY] = Operators(settings.secret)
    for directive in (add_operator_view, add_operator_policy, add_section, add_request_attribute):
        config.add_directive(directive.__name__, directive)
    config.add_route_predicate("c2c_routes", lambda routes, _info: routes)
    config.add_view_predicate("c2c_view", lambda guard, _info: guard)
    config.add_view_deriver(guard_view, "c2c_operator")
    config.add_tween("c2c_broadcast.operators.tween_factory", under=INGRESS)
    config.action(("c2c_broadcast", "fast_json"), _add_renderer, args=(config.registry,), order=PHASE3_CONFIG + 100)
    if first:
        # When all packages have loaded theirs.
        config.action(None, warn_of_names, args=(config.get_settings(),), order=PHASE3_CONFIG + 300)
        # What is of the process and not of this application waits until the configuration is known to be a good one.
        config.action(None, broadcast.init, (settings,))


def _add_renderer(registry: Any) -> None:
    """Register ``fast_json`` once all other packages had their say, unless one of them did."""
    if registry.queryUtility(IRendererFactory, name="fast_json") is None:
        registry.registerUtility(JSON(indent=2, sort_keys=True, ensure_ascii=False), IRendererFactory, name="fast_json")


def tween_factory(handler: Callable[[Any], Any], _registry: Any) -> Callable[[Any], Any]:
    """Return the tween of one application: the process begins to listen with its first request."""

    def tween(request: Any) -> Any:
        broadcaster = broadcast.get_broadcaster()
        if not broadcaster.started and time.monotonic() >= broadcaster.again_at:
            broadcaster.start()
        return handler(request)

    return tween
