"""JSON logs, request ids and run-time log levels for Pyramid services."""

from c2c_logging._context import run_in_context
from c2c_logging._includeme import includeme
from c2c_logging._json_handler import JsonLogHandler
from c2c_logging._settings import HandlerSettings, LoggingSettings

__all__ = [
    "HandlerSettings",
    "JsonLogHandler",
    "LoggingSettings",
    "includeme",
    "run_in_context",
]
