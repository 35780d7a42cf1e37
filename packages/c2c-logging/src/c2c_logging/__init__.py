"""JSON logs, request ids and run-time log levels for Pyramid services."""

from c2c_logging._database import SQLAlchemyHandler
from c2c_logging._handlers import ConsoleLogHandler, JsonLogHandler
from c2c_logging._ini import configure_logging
from c2c_logging._outgoing import instrument_requests, uninstrument_requests
from c2c_logging._output import readers_behind
from c2c_logging._queue import Behind
from c2c_logging._request_ids import run_in_context
from c2c_logging._settings import HandlerSettings, LoggingSettings, ScriptSettings
from c2c_logging._setup import includeme, init
from c2c_logging._syslog import PyramidCeeSysLogHandler

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
    "readers_behind",
    "run_in_context",
    "uninstrument_requests",
]
