"""What ``config.include("c2c_logging")`` does."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.tweens import INGRESS

from c2c_broadcast import ConfigurationError, load
from c2c_logging._context import SOURCES, context_of
from c2c_logging._instrument import instrument_requests
from c2c_logging._level_view import SECTION, changes_level, level_view
from c2c_logging._levels import LEVELS
from c2c_logging._masking import MASKING
from c2c_logging._request_id import IdSources
from c2c_logging._settings import LoggingSettings

_SETTINGS = "c2c_logging.settings"


def includeme(config: Configurator) -> None:
    """Add request ids and run-time log levels: ``config.include("c2c_logging")``.

    Gives ``request.c2c_request_id``, echoes it on each answer, and has ``requests`` and (where
    ``c2c.sql_request_id`` says so) SQLAlchemy send it on.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    config.include("c2c_broadcast")
    settings = config.registry.setdefault(_SETTINGS, load(LoggingSettings, config.get_settings()))
    config.registry.setdefault(
        SOURCES,
        IdSources(settings.request_id_header, sql=settings.sql_request_id, timeout=settings.requests_default_timeout),
    )
    MASKING.learn(config.get_settings())
    config.add_tween("c2c_logging._tween.tween_factory", under=INGRESS)
    # On the class: add_request_method would make a class for each request, which takes 20 us.
    Request.c2c_request_id = property(_request_id)
    instrument_requests(settings.requests_default_timeout)
    if settings.sql_request_id:
        _tag_transactions()
    if settings.log_view_enabled:
        LEVELS.follow()
        config.add_operator_view(level_view, name="logging_level", path="/logging/level", changes_state=changes_level)
        config.add_section(SECTION)


def _request_id(request: Any) -> str:
    """Return the id of this request: at most 128 characters of printable ASCII."""
    return context_of(request).request_id


def _tag_transactions() -> None:
    try:
        from c2c_logging._sqlalchemy import tag_transactions
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"C2C_SQL_REQUEST_ID (ini key c2c.sql_request_id) needs SQLAlchemy ({error}): pip install c2c-logging[sql]"
        ) from None
    tag_transactions()
