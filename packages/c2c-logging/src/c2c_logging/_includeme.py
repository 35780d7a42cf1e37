"""What ``config.include("c2c_logging")`` does."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.tweens import INGRESS

from c2c_broadcast import load
from c2c_logging._context import SOURCES, context_of
from c2c_logging._masking import MASKING
from c2c_logging._request_id import IdSources
from c2c_logging._settings import LoggingSettings

_SETTINGS = "c2c_logging.settings"


def includeme(config: Configurator) -> None:
    """Add request ids and run-time log levels: ``config.include("c2c_logging")``.

    Gives ``request.c2c_request_id``, echoes it on each answer, and has ``requests`` send it on.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = config.registry.setdefault(_SETTINGS, load(LoggingSettings, config.get_settings()))
    config.registry.setdefault(SOURCES, IdSources(settings.request_id_header))
    MASKING.learn(config.get_settings())
    config.add_tween("c2c_logging._tween.tween_factory", under=INGRESS)
    # On the class: add_request_method would make a class a request, 20 us each.
    Request.c2c_request_id = property(_read_request_id)


def _read_request_id(request: Any) -> str:
    """Return the id of this request: text of at most 128 printable ASCII characters."""
    return context_of(request).request_id
