"""JSON logs, request ids and run-time log levels for Pyramid services."""

from typing import TYPE_CHECKING, Any

from c2c_broadcast import ConfigurationError
from c2c_logging._handlers import ConsoleLogHandler, JsonLogHandler
from c2c_logging._ini import configure_logging, locate, read_logging
from c2c_logging._outgoing import instrument_requests, uninstrument_requests
from c2c_logging._request_ids import run_in_context
from c2c_logging._sending import Behind, readers_behind
from c2c_logging._settings import HandlerSettings, LoggingSettings, ScriptSettings
from c2c_logging._setup import includeme, init
from c2c_logging._syslog import PyramidCeeSysLogHandler

if TYPE_CHECKING:
    from c2c_logging._database import SQLAlchemyHandler

__all__ = [
    "Behind",
    "ConsoleLogHandler",
    "HandlerSettings",
    "JsonLogHandler",
    "LoggingSettings",
    "PyramidCeeSysLogHandler",
    "SQLAlchemyHandler",
    "ScriptSettings",
    "configure_logging",
    "includeme",
    "init",
    "instrument_requests",
    "locate",
    "read_logging",
    "readers_behind",
    "run_in_context",
    "uninstrument_requests",
]


def __getattr__(name: str) -> Any:
    """Import SQLAlchemy when its handler is asked for."""
    if name != "SQLAlchemyHandler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from c2c_logging import _database
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{name}: {error}: pip install c2c-logging[sql]") from None
    return _database.SQLAlchemyHandler
