"""CORS headers of errors: those of the service, else any origin without credentials, on operator views none."""

from typing import Any

from cornice.util import current_service

from c2c_broadcast import settings_of

_FIRST_ERROR = 400


OPERATORS = "c2c_rest.operators"
"""Where the registry keeps the path of the operators' part."""

# What http_cache=0 says, which is not said of a pre-flight.
_UNCACHED = ("Expires", "Pragma", "Last-Modified")


def finish_cors(request: Any, response: Any) -> None:
    """Complete cornice's headers: what differs by origin says so; a pre-flight is kept as long as browsers keep it."""
    # One look at the list: through the mapping of WebOb each question costs as much.
    vary = [value for name, value in response.headerlist if name.lower() == "vary"]
    if not vary:
        response.headerlist.append(("Vary", "Origin"))
    else:
        _vary_by_origin(response, ", ".join(vary))
    if request.method == "OPTIONS" and response.status_int < _FIRST_ERROR:
        _keep_pre_flight(response)


def _keep_pre_flight(response: Any) -> None:
    age = response.headers.get("Access-Control-Max-Age")
    if age is not None:
        response.headers["Cache-Control"] = f"max-age={age}"
        for name in _UNCACHED:
            response.headers.pop(name, None)


def _vary_by_origin(response: Any, vary: str) -> None:
    names = {name.strip().lower() for name in vary.split(",")}
    if not names & {"*", "origin"}:
        response.headers["Vary"] = f"{vary}, Origin"


def add_cors(request: Any, response: Any) -> None:
    """Let the page that sent the request read the error, where it may."""
    service = current_service(request) if getattr(request, "matched_route", None) is not None else None
    if service is not None:
        # Cornice adds the service's headers to the final response, once: this is another response than it has seen.
        request.info["cors_checked"] = False
    elif not _is_operators(request):
        response.headers.setdefault("Access-Control-Allow-Origin", "*")


def _is_operators(request: Any) -> bool:
    """Tell whether the request is for the operators' part of the service, whether there is a view or not."""
    base = request.registry[OPERATORS]
    path = request.environ.get("PATH_INFO", "")
    return bool(path == base or path.startswith(base + "/"))


def operators_path(config: Any) -> str:
    """Return the path below which all views are the operators': route prefix, then base path."""
    prefix = (config.route_prefix or "").strip("/")
    base: str = settings_of(config.registry).base_path
    return f"/{prefix}{base}" if prefix else base
