"""JSON errors, CORS services, JSON renderers and proxy headers for Pyramid services."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPException
from pyramid.tweens import EXCVIEW
from webob.exc import WSGIHTTPException

from c2c_broadcast import ANSWERS_EXCEPTIONS, load
from c2c_rest import client_info, services
from c2c_rest._errors import ErrorView
from c2c_rest._renderers import add_json_adapter, add_renderers
from c2c_rest._settings import RestSettings
from c2c_rest.client_info import ProxySettings

__all__ = ["ProxySettings", "RestSettings", "client_info", "includeme", "services"]

_SETTINGS = "c2c_rest.settings"
_ERROR_VIEW = "c2c_rest.error_view"


def includeme(config: Configurator) -> None:
    """Add JSON errors, cornice with CORS, and JSON renderers: ``config.include("c2c_rest")``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = config.registry.setdefault(_SETTINGS, load(RestSettings, config.get_settings()))
    config.add_directive("add_json_adapter", add_json_adapter)
    services.include_cornice(config)
    add_renderers(config, settings)
    config.add_tween("c2c_rest._errors.own_response_tween_factory", over=EXCVIEW)
    if settings.handles_exceptions:
        config.registry[ANSWERS_EXCEPTIONS] = True
        view = config.registry.setdefault(_ERROR_VIEW, ErrorView(settings))
        # Pyramid has a view of its own for HTTP exceptions, its own and WebOb's: nearer than one for Exception.
        for context in (Exception, HTTPException, WSGIHTTPException):
            config.add_exception_view(view, context=context)
