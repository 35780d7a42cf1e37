"""Cornice, without what it costs each request that is not for one of its services.

Cornice prepares each request in a subscriber to NewRequest: that alone makes Pyramid notify its five events. Here the
class of requests has cornice's attributes, made when they are asked for. What services see is the same.
"""

from collections import deque
from typing import Any

from cornice.cors import apply_cors_post_request
from cornice.errors import Errors
from cornice.pyramidhook import apply_filters, handle_exceptions, wrap_request
from cornice.util import current_service
from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.decorator import reify
from pyramid.interfaces import IRequestExtensions

from c2c_broadcast import add_request_attributes
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
    add_request_attributes(config.registry, _attributes)
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
    """Take back what cornice does to each request: the attributes do the same."""
    for registration in list(registry.registeredHandlers()):
        if getattr(registration.handler, "__wrapped__", None) is wrap_request:
            registry.unregisterHandler(registration.handler, registration.required)
    registry.queryUtility(IRequestExtensions).descriptors.pop("current_service", None)


def _attributes(cls: type[Any]) -> dict[str, Any]:
    """Return what cornice's services find on a request, but what the class has by itself; and the callback."""
    found = {
        name: value for name, value in vars(_Attributes).items() if isinstance(value, reify) and not hasattr(cls, name)
    }
    return {**found, "response_callbacks": response_callbacks}


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
    for name, _ in headers:
        if len(name) == _NO_SNIFF_LENGTH:
            response.headers.setdefault(*_NO_SNIFF)
            break
    else:
        headers.append(_NO_SNIFF)


@reify
def response_callbacks(_request: Any) -> deque[Any]:
    """Return what is called with the response: Pyramid asks for it when there is one."""
    return deque((_finish,))


def _replace(request: Any, response: Any, error: Exception) -> None:
    """Make the answer that of the error view, where there is one."""
    view = request.registry.get(ERROR_VIEW)
    if view is None:
        raise error
    other = view(error, request)
    response.status, response.headerlist, response.app_iter = other.status, other.headerlist, other.app_iter
