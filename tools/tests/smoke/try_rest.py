"""Try c2c-rest."""

import sys

from call import add_view, configure, get

from c2c_rest import services

hello = services.create("hello", "/hello", cors_credentials=True)


@hello.get()
def hello_get(request: object) -> dict[str, object]:
    """Greet who says a name."""
    return {"hello": request.params["name"]}  # type: ignore[attr-defined]


def alone() -> None:
    """Ask a service, rightly and wrongly."""
    config = configure("c2c_rest")
    config.scan(sys.modules[__name__])
    app = config.make_wsgi_app()
    assert get(app, "/hello?name=world").json == {"hello": "world"}
    answer = get(app, "/hello")
    assert (answer.status, answer.json["status"]) == (500, 500), answer


def orjson() -> None:
    """Write JSON with orjson."""
    config = configure("c2c_rest", c2c__json__engine="orjson")
    add_view(config, lambda _: {"hello": "world"})
    assert get(config.make_wsgi_app(), "/try").json == {"hello": "world"}
    assert "orjson" in sys.modules
