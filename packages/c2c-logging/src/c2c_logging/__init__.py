"""JSON logs, request ids and run-time log levels for Pyramid services."""

from c2c_logging._cee_handler import PyramidCeeSysLogHandler
from c2c_logging._console import ConsoleLogHandler
from c2c_logging._context import run_in_context
from c2c_logging._database_handler import SQLAlchemyHandler
from c2c_logging._includeme import includeme
from c2c_logging._instrument import instrument_requests, uninstrument_requests
from c2c_logging._json_handler import JsonLogHandler
from c2c_logging._settings import HandlerSettings, LoggingSettings, ScriptSettings
from c2c_logging._setup import init

__all__ = [
    "ConsoleLogHandler",
    "HandlerSettings",
    "JsonLogHandler",
    "LoggingSettings",
    "PyramidCeeSysLogHandler",
    "SQLAlchemyHandler",
    "ScriptSettings",
    "includeme",
    "init",
    "instrument_requests",
    "run_in_context",
    "uninstrument_requests",
]
