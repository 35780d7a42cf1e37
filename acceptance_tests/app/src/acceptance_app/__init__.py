"""The demo and acceptance application: a small service under ``/api``, with the whole toolkit in one line."""

from typing import Any

from pyramid.config import Configurator

from acceptance_app import models


def main(_global_config: dict[str, str], **settings: Any) -> Any:
    """Return the WSGI application (``paste.app_factory``)."""
    config = Configurator(settings=settings, route_prefix="/api")
    config.include("c2c_meta")
    models.setup(config)
    config.scan("acceptance_app.views")
    return config.make_wsgi_app()
