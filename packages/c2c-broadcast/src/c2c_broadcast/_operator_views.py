"""Operator views: guarded by a view deriver, so that no view can forget its check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPException, HTTPMethodNotAllowed
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.traversal import DefaultRootFactory

from c2c_broadcast._access import access_of, json_error, parameters

_SETTINGS = "c2c_broadcast.settings"


@dataclass(frozen=True, slots=True)
class Policy:
    """How an operator view is guarded: the option that the deriver reads."""

    public: bool
    methods: tuple[str, ...]
    changes_state: bool | Callable[[Any], bool]

    def changes(self, request: Any) -> bool:
        """Whether this request changes state."""
        return self.changes_state(request) if callable(self.changes_state) else self.changes_state


def add_operator_view(
    config: Configurator,
    view: Any,
    name: str,
    path: str,
    renderer: Any = "fast_json",
    public: bool = False,
    methods: str | Iterable[str] = ("GET",),
    changes_state: bool | Callable[[Any], bool] = False,
) -> None:
    """Add a view for operators: route ``c2c_<name>`` at base path + ``path``, never cached.

    Not added where no secret is configured, unless it is ``public``. HEAD comes with GET; a view that changes state
    (``changes_state``: a boolean, or a function of the request) takes POST too, asks for the same origin where a
    cookie is all the client has, and, public or not, for an operator where a secret is configured. A view of another
    method is 405.
    """
    settings = config.registry[_SETTINGS]
    if settings.secret is None and not public:
        return
    allowed = {method.upper() for method in ((methods,) if isinstance(methods, str) else methods)}
    if changes_state:
        allowed.add("POST")
    if "GET" in allowed:
        allowed.add("HEAD")
    policy = Policy(public, tuple(sorted(allowed)), changes_state)
    route = f"c2c_{name}"
    pattern = settings.base_path + "/" + path.strip("/") if path.strip("/") else settings.base_path + path
    introspectable = config.introspectable("c2c operator views", name, f"{pattern} ({route})", "c2c operator view")
    introspectable.update(
        {"route": route, "pattern": pattern, "public": public, "methods": policy.methods, "view": view}
    )
    config.action(("c2c operator view", name), None, introspectables=(introspectable,))
    # Nothing of the application's own decides who may see it, or fails before it answers: neither its root factory
    # (which may need the database that a check is about), nor its default permission, nor its CSRF tokens.
    config.add_route(route, pattern, factory=DefaultRootFactory)
    config.add_view(
        view,
        route_name=route,
        renderer=renderer,
        http_cache=0,
        permission=NO_PERMISSION_REQUIRED,
        require_csrf=False,
        c2c_operator=policy,
    )


def guard(view: Callable[[Any, Any], Any], info: Any) -> Callable[[Any, Any], Any]:
    """View deriver: let only those see an operator view who may. A view without the option stays as it is."""
    policy: Policy | None = info.options.get("c2c_operator")
    if policy is None:
        return view

    def guarded(context: Any, request: Any) -> Any:
        request.add_response_callback(_finish)
        try:
            _check(request, policy)
        except HTTPException as refusal:
            # Returned, not raised: the application's forbidden view, a log-in page for example, is not for operators.
            return refusal
        return view(context, request)

    return guarded


def _check(request: Any, policy: Policy) -> None:
    """Raise unless the method is the view's, its parameters can be read, and the client may use it."""
    access = access_of(request.registry)
    assert access is not None
    if request.method not in policy.methods:
        allowed = ", ".join(policy.methods)
        raise json_error(
            HTTPMethodNotAllowed,
            f"{request.method} is not for this view: use {allowed}",
            {"Allow": allowed},
        )
    access.judge(request)
    access.count(request)
    readable = _is_readable(request)
    changes = readable and policy.changes(request)
    if not policy.public or (changes and access.secret is not None):
        access.require(request, changes_state=changes)
    if not readable:
        raise json_error(HTTPBadRequest, "The query or the form can't be read: UTF-8, percent-encoded")


def _is_readable(request: Any) -> bool:
    try:
        parameters(request)
    except ValueError:
        return False
    return True


guard.options = ("c2c_operator",)  # type: ignore[attr-defined] # how Pyramid learns a deriver's options


def _finish(request: Any, response: Any) -> None:
    """Last thing on each answer, errors too: never cached, and the cookie as the credentials say."""
    access = access_of(request.registry)
    if access is not None:
        access.remember(request, response)
    if "no-cache" not in (response.headers.get("Cache-Control") or ""):
        response.cache_expires(0)
