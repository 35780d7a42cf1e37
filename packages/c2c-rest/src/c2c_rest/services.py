"""Services of cornice with the defaults of a JSON API that any web page may call, and who may read their answers.

    from c2c_rest import services

    hello = services.create("hello", "/hello", cors_credentials=True)


    @hello.get()
    def hello_get(request):
        return {"hello": True}

``config.scan()`` finds a service in the module that creates it.
"""

from typing import Any

from cornice import Service
from cornice.errors import Errors
from cornice.pyramidhook import add_nosniff_header, apply_filters, handle_exceptions, wrap_request
from cornice.util import current_service
from pyramid.config import Configurator
from pyramid.decorator import reify

from c2c_broadcast import settings_of
from c2c_broadcast.requests import include_light

_DEFAULTS: dict[str, Any] = {
    "cors_origins": "*",
    "cors_max_age": 86400,
    "renderer": "fast_json",
    "http_cache": 0,
}


def create(name: str, path: str | None = None, *args: Any, depth: int = 1, **kwargs: Any) -> Service:
    """Create a service of cornice, open to pages of any origin, rendered by ``fast_json``, never cached.

    All arguments are those of `cornice.Service`, and win over these defaults: ``cors_origins="*"``,
    ``cors_max_age=86400`` (seconds), ``renderer="fast_json"``, ``http_cache=0``; so do the members of ``cors_policy``.
    A function that calls this one for a service of its caller gives ``depth=2``.
    """
    policy = kwargs.get("cors_policy") or (args[1] if len(args) > 1 else None) or {}
    defaults = {
        key: value
        for key, value in _DEFAULTS.items()
        if not (key.startswith("cors_") and key.removeprefix("cors_") in policy)
    }
    return Service(name, path, *args, depth=depth + 1, **{**defaults, **kwargs})


_FIRST_ERROR = 400
# The path of the operators' part, in the registry.
_OPERATORS = "c2c_rest.operators"
_CALLBACK = "c2c_rest.callback"
_UNCACHED = ("Expires", "Pragma", "Last-Modified")  # what http_cache=0 says, which is not said of a pre-flight


def include_cornice(config: Configurator) -> None:
    """Include cornice without its exception views, and complete what it says of CORS."""
    prefix = (config.route_prefix or "").strip("/")
    base = settings_of(config.registry).base_path
    config.registry.setdefault(_OPERATORS, f"/{prefix}{base}" if prefix else base)
    config.add_settings(handle_exceptions=False)
    _withdraw_exception_views(config)
    ours = not hasattr(config.registry, "cornice_services")
    if ours:
        # A second time, cornice's own includeme would forget the services that it knows.
        # With one subscriber to NewRequest, Pyramid notifies five events in each request.
        include_light(config, "cornice", without=(wrap_request,))
        for name, attribute in _OF_REQUESTS.items():
            config.add_request_attribute(name, attribute)
    # At a second time, after a commit, as at the first.
    config.add_request_method(config.registry.setdefault(_CALLBACK, _Callback(ours)), "c2c_rest_callback")


class _Callback:
    """A request method that Pyramid binds to each request, sub-requests too: this adds a callback to its response.

    With ``ours`` it does what cornice's own two callbacks do.
    """

    def __init__(self, ours: bool) -> None:
        self._ours = ours

    def __get__(self, request: Any, owner: Any = None) -> Any:
        request.add_response_callback(self)
        return self

    def __call__(self, request: Any, response: Any) -> None:
        of_service = _service(request) is not None
        if self._ours:
            if of_service:
                apply_filters(request, response)
            add_nosniff_header(request, response)
        if of_service:
            # After the callbacks, in one of which cornice adds its headers.
            request.add_response_callback(_finish_cors)


@reify
def validated(_request: Any) -> dict[str, Any]:
    """Return what cornice's validators found good."""
    return {}


@reify
def errors(request: Any) -> Errors:
    """Return what cornice's validators found wrong."""
    if request.registry.settings.get("available_languages"):
        return Errors(localizer=request.localizer)
    return Errors()


@reify
def info(_request: Any) -> dict[str, Any]:
    """Return cornice's notes."""
    return {}


# What cornice's own subscriber gives each request before anybody asks.
_OF_REQUESTS = {"validated": validated, "errors": errors, "info": info}


def _service(request: Any) -> Any:
    return current_service(request) if getattr(request, "matched_route", None) is not None else None


def _withdraw_exception_views(config: Any) -> None:
    """Take back the catch-all views of a cornice that was included before us, without the setting."""
    actions = config.action_state.actions
    actions[:] = [
        action
        for action in actions
        if not any(introspectable.get("callable") is handle_exceptions for introspectable in action["introspectables"])
    ]


def _finish_cors(request: Any, response: Any) -> None:
    """Complete cornice's headers: what differs by origin says so; a pre-flight is kept as long as browsers keep it."""
    service = _service(request)
    if service is None or not service.cors_enabled:
        return
    vary = ", ".join(response.headers.getall("Vary"))
    names = {name.strip().lower() for name in vary.split(",")}
    if not names & {"*", "origin"}:
        response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
    age = response.headers.get("Access-Control-Max-Age")
    if age is not None and request.method == "OPTIONS" and response.status_int < _FIRST_ERROR:
        response.headers["Cache-Control"] = f"max-age={age}"
        for name in _UNCACHED:
            response.headers.pop(name, None)


def add_cors(request: Any, response: Any) -> None:
    """Let the page that sent the request read the error: as the service says, else any, but no operator view's."""
    service = _service(request)
    if service is not None:
        # Cornice adds the service's headers to the final response, once: this is another response than it has seen.
        request.info["cors_checked"] = False
    elif not _is_operators(request):
        response.headers.setdefault("Access-Control-Allow-Origin", "*")


def _is_operators(request: Any) -> bool:
    """Tell whether the request is for the operators' part of the service, whether there is a view or not."""
    base = request.registry[_OPERATORS]
    path = request.environ.get("PATH_INFO", "")
    return bool(path == base or path.startswith(base + "/"))
