"""Services of cornice with the defaults of a JSON API that any web page may call.

    from c2c_rest import services

    hello = services.create("hello", "/hello", cors_credentials=True)


    @hello.get()
    def hello_get(request):
        return {"hello": True}

``config.scan()`` finds a service in the module that creates it.
"""

from typing import Any

from cornice import Service

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
