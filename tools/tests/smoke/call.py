"""Call a WSGI application without a server: the standard library only."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults

from pyramid.config import Configurator

SECRET = "an-operators-secret-of-some-length"
NOBODY = "127.0.0.1:1"
"""An address where no server listens: what is not there has to be survived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def get(app: Callable[..., Any], path: str, *, operator: bool = False) -> Answer:
    """GET a path, as an operator where that is wanted."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        del exc_info
        started[:] = [int(status.split(maxsplit=1)[0]), dict(headers)]
        return io.BytesIO().write  # type: ignore[return-value]

    path, _, query = path.partition("?")
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": "127.0.0.1"}
    environ |= {"wsgi.errors": sys.stderr} | ({"HTTP_X_API_KEY": SECRET} if operator else {})
    setup_testing_defaults(environ)
    body = app(environ, start_response)
    try:
        text = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    return Answer(started[0], started[1], text)


def configure(package: str, **settings: str) -> Configurator:
    """Return a configurator that includes a package; in the names of settings ``__`` is a dot."""
    found = {name.replace("__", "."): value for name, value in settings.items()}
    config = Configurator(settings={"c2c.secret": SECRET, **found})
    config.include(package)
    return config


def add_view(config: Configurator, view: Callable[[Any], Any], path: str = "/try") -> None:
    """Add a view that is rendered as JSON."""
    config.add_route(path, path)
    config.add_view(view, route_name=path, renderer="json")
