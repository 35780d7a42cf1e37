"""What ``config.include("c2c_rest")`` does."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPException
from webob.exc import WSGIHTTPException

from c2c_broadcast import ANSWERS_EXCEPTIONS, load
from c2c_rest import _never_cached
from c2c_rest._cornice import include_cornice
from c2c_rest._cors import OPERATORS, operators_path
from c2c_rest._error_view import ERROR_VIEW, ErrorView
from c2c_rest._renderers import add_json_adapter, add_renderers
from c2c_rest._settings import RestSettings

_SETTINGS = "c2c_rest.settings"


def includeme(config: Configurator) -> None:
    """Add JSON errors, cornice with CORS, and JSON renderers: ``config.include("c2c_rest")``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = config.registry.setdefault(_SETTINGS, load(RestSettings, config.get_settings()))
    config.registry.setdefault(OPERATORS, operators_path(config))
    config.add_directive("add_json_adapter", add_json_adapter)
    include_cornice(config)
    add_renderers(config, settings)
    config.add_view_deriver(
        _never_cached.never_cached_view, _never_cached.NAME, under=_never_cached.UNDER, over=_never_cached.OVER
    )
    if settings.handles_exceptions:
        config.registry[ANSWERS_EXCEPTIONS] = True
        view = config.registry.setdefault(ERROR_VIEW, ErrorView(settings))
        # Pyramid has a view of its own for HTTP exceptions, its own and WebOb's: nearer than one for Exception.
        for context in (Exception, HTTPException, WSGIHTTPException):
            config.add_exception_view(view, context=context)
