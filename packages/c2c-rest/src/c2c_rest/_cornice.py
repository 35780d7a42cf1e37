"""Cornice, without what it costs each request that is not for one of its services.

Cornice prepares each request in a subscriber to NewRequest: that alone makes Pyramid notify its five events, and the
property that it adds makes Pyramid create a class a request. Here the class of the request is switched, once known, to
one that has cornice's attributes, made when they are asked for. What services see is the same.
"""

from collections import deque
from functools import lru_cache
from typing import Any

from cornice.cors import apply_cors_post_request
from cornice.errors import Errors
from cornice.pyramidhook import apply_filters, handle_exceptions, wrap_request
from cornice.util import current_service
from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.decorator import reify
from pyramid.interfaces import IRequestExtensions

from c2c_rest._cors import finish_cors
from c2c_rest._error_view import ERROR_VIEW

# After all subscribers and request methods of the application are there.
_LAST = PHASE3_CONFIG + 100

_NO_SNIFF = ("X-Content-Type-Options", "nosniff")
# Comparing lengths is cheaper than lower case, and enough to know that it is not there.
_NO_SNIFF_LENGTH = len(_NO_SNIFF[0])


def include_cornice(config: Configurator) -> None:
    """Include cornice without its exception views, and make it light."""
    config.add_settings(handle_exceptions=False)
    _withdraw_exception_views(config)
    if not hasattr(config.registry, "cornice_services"):
        # A second time, cornice's own includeme would forget the services that it knows.
        config.include("cornice")
    config.add_request_method(_Prepares(), "c2c_prepared_for_cornice")
    config.action(("c2c_rest", "cornice"), _lighten, args=(config.registry,), order=_LAST)


def _withdraw_exception_views(config: Any) -> None:
    """Take back the catch-all views of a cornice that was included before us, without the setting."""
    actions = config.action_state.actions
    actions[:] = [
        action
        for action in actions
        if not any(introspectable.get("callable") is handle_exceptions for introspectable in action["introspectables"])
    ]


def _lighten(registry: Any) -> None:
    """Take back what cornice does to each request: `_Prepares` does the same."""
    for registration in list(registry.registeredHandlers()):
        if getattr(registration.handler, "__wrapped__", None) is wrap_request:
            registry.unregisterHandler(registration.handler, registration.required)
    if not any(registry.registeredHandlers()) and not any(registry.registeredSubscriptionAdapters()):
        registry.has_listeners = False
    registry.queryUtility(IRequestExtensions).descriptors.pop("current_service", None)


class _Prepares:
    """A request method, because Pyramid binds those to each request first, whoever made it: sub-requests too."""

    def __get__(self, request: Any, cls: Any) -> "_Prepares":
        request.__class__ = _with_cornice(cls)
        # Pyramid makes this one when it is asked for, which costs more.
        request.__dict__["response_callbacks"] = deque((_finish,))
        return self

    def __call__(self) -> bool:
        """Tell that it is."""
        return True


@lru_cache(maxsize=64)
def _with_cornice(cls: Any) -> type[Any]:
    """Return the request class with cornice's attributes, but those that the class has by itself."""
    attributes = {
        name: value for name, value in vars(_Attributes).items() if isinstance(value, reify) and not hasattr(cls, name)
    }
    # As in pyramid.util: the class has no interfaces of its own.
    interfaces = {name: getattr(cls, name) for name in ("__implemented__", "__provides__") if hasattr(cls, name)}
    return type(cls.__name__, (cls,), {"__module__": cls.__module__, **attributes, **interfaces})


class _Attributes:
    """What cornice's services find on a request."""

    @reify
    def validated(self: Any) -> dict[str, Any]:
        """Data that validators accepted."""
        return {}

    @reify
    def info(self: Any) -> dict[str, Any]:
        """What cornice's parts tell each other."""
        return {}

    @reify
    def errors(self: Any) -> Errors:
        """Errors that validators found."""
        return Errors(localizer=self.localizer if self.registry.settings.get("available_languages") else None)

    @reify
    def current_service(self: Any) -> Any:
        """The service that the route belongs to, or None."""
        return current_service(self)


def _finish(request: Any, response: Any) -> None:
    """Do what cornice does to each answer (filters, CORS, no sniffing), then what it leaves out."""
    if request.matched_route is not None:
        service = current_service(request)
        if service is not None:
            try:
                apply_filters(request, response)
            except Exception as error:  # noqa: BLE001 # filters are the application's, and nobody further up answers
                _replace(request, response, error)
                apply_cors_post_request(service, request, response)
            if service.cors_enabled:
                finish_cors(request, response)
    headers = response.headerlist
    if [name for name, _ in headers if len(name) == _NO_SNIFF_LENGTH]:
        response.headers.setdefault(*_NO_SNIFF)
    else:
        headers.append(_NO_SNIFF)


def _replace(request: Any, response: Any, error: Exception) -> None:
    """Make the answer that of the error view, where there is one."""
    view = request.registry.get(ERROR_VIEW)
    if view is None:
        raise error
    other = view(error, request)
    response.status, response.headerlist, response.app_iter = other.status, other.headerlist, other.app_iter
