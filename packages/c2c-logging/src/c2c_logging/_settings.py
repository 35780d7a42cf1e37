"""What logging reads: the settings of an application, and those of a script without an ini file."""

import logging
import re
from dataclasses import dataclass
from typing import Literal

from c2c_broadcast import setting

# A field name (RFC 9110, 5.1), without the few characters that have a meaning in shells and SQL.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$&^_|~.+-]+")


def _header(raw: str) -> str:
    if not _HEADER_NAME.fullmatch(raw):
        raise ValueError("must be the name of a header, such as X-Request-ID")
    return raw


def level_number(name: str) -> int:
    """Return the number of a level given by name, in any case; a ValueError lists all there are."""
    levels = logging.getLevelNamesMapping()
    number = levels.get(name.strip().upper())
    if number is None:
        raise ValueError(f"must be one of {', '.join(sorted(levels, key=lambda one: -levels[one]))}")
    return number


def _level(raw: str) -> str:
    level_number(raw)
    return raw.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSettings:
    """What an application says about its logs and request ids."""

    log_view_enabled: bool = setting(
        False,
        env="C2C_LOG_VIEW_ENABLED",
        key="c2c.log_view_enabled",
        help="whether operators may see and change log levels under `{base}/logging/level`",
    )
    request_id_header: str = setting(
        "X-Request-ID",
        env="C2C_REQUEST_ID_HEADER",
        key="c2c.request_id_header",
        parse=_header,
        help="header that is looked at first for a request id, and under which it is sent on",
    )
    requests_default_timeout: float | None = setting(
        None,
        env="C2C_REQUESTS_DEFAULT_TIMEOUT",
        key="c2c.requests_default_timeout",
        minimum=0.001,
        help="time-out, in seconds, of what `requests` sends without one",
    )
    sql_request_id: bool = setting(
        False,
        env="C2C_SQL_REQUEST_ID",
        key="c2c.sql_request_id",
        help="whether `application_name` of PostgreSQL sessions is the request id",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSettings:
    """What handlers read from the environment: they are built before any application."""

    json_dialect: Literal["c2c", "ecs", "otel"] = setting(
        "c2c",
        env="LOG_JSON_DIALECT",
        key=None,
        help="names of the fields of JSON lines: `c2c`, `ecs` (Elastic Common Schema) or `otel` (OpenTelemetry)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSettings:
    """What ``init`` reads from the environment where there is no ini file."""

    log_type: Literal["console", "json"] = setting(
        "console",
        env="LOG_TYPE",
        key=None,
        help="without an ini file: lines for people (`console`) or for machines (`json`)",
    )
    log_level: str = setting(
        "INFO",
        env="LOG_LEVEL",
        key=None,
        parse=_level,
        help="without an ini file: level of the script, the package that calls `init`, and the c2c packages",
    )
    other_log_level: str = setting(
        "WARNING",
        env="OTHER_LOG_LEVEL",
        key=None,
        parse=_level,
        help="without an ini file: level of all other loggers",
    )
