"""Setting up: ``config.include("c2c_logging")`` for an application, ``init`` for scripts, which log as it does."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from c2c_broadcast import ConfigurationError, load
from c2c_broadcast.settings import warn_once
from c2c_logging._handlers import ConsoleLogHandler, JsonLogHandler
from c2c_logging._ini import configure_logging
from c2c_logging._levels import SECTION, level_view, overrides
from c2c_logging._outgoing import instrument_requests
from c2c_logging._request_ids import REQUEST_ID, SETTINGS
from c2c_logging._settings import LoggingSettings, ScriptSettings
from c2c_logging._texts import learn

if TYPE_CHECKING:
    from pyramid.config import Configurator

_LOG = logging.getLogger(__name__)
_VARIABLE = "C2CWSGIUTILS_CONFIG"
_DEFAULT = "/app/production.ini"
_OWN = (
    *("__main__", "c2c_broadcast", "c2c_logging", "c2c_db", "c2c_health", "c2c_stats", "c2c_debug", "c2c_rest"),
    *("c2c_sentry", "c2c_meta", "c2cwsgiutils"),
)


def includeme(config: "Configurator") -> None:
    """Add request ids and run-time log levels: ``config.include("c2c_logging")``.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from pyramid.tweens import INGRESS  # importing c2c_logging imports no Pyramid

    config.include("c2c_broadcast")
    settings = config.registry[SETTINGS] = load(LoggingSettings, config.get_settings())
    learn(config.get_settings())
    config.add_tween("c2c_logging._request_ids.tween_factory", under=INGRESS)
    config.add_request_attribute("c2c_request_id", REQUEST_ID)
    instrument_requests(settings.requests_default_timeout)
    if settings.sql_request_id:
        try:
            from c2c_logging._sql_ids import tag_transactions
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"C2C_SQL_REQUEST_ID: {error}: pip install c2c-logging[sql]") from None
        tag_transactions()
    off = None if settings.log_view_enabled else "C2C_LOG_VIEW_ENABLED"
    config.add_operator_view(
        level_view,
        name="logging_level",
        path="/logging/level",
        changes_state=lambda request: bool(request.params.get("level")),
        level="read",
        off=off,
    )
    if off is None:
        overrides()
        config.add_section(SECTION)


def init(configfile: str | os.PathLike[str] | None = None) -> str | None:
    """Set logging up in a script: as the ini file says, or without one by LOG_TYPE, LOG_LEVEL and OTHER_LOG_LEVEL.

    The ini file is ``configfile``, else what C2CWSGIUTILS_CONFIG names, else ``/app/production.ini``. Returns its path,
    None where there was none.

    Raises:
        ConfigurationError: ``configfile`` is missing, or an ini file or a variable can't be followed.
    """
    logging.captureWarnings(capture=True)
    named = os.environ.get(_VARIABLE, "").strip()
    path = Path(configfile or named or _DEFAULT).absolute()
    if configfile is not None and not path.is_file():
        raise ConfigurationError(f"{path}: no such file")
    by_file = path.is_file() and configure_logging(path, os.environ)
    if not by_file:
        _by_variables()
        if named and not path.is_file():
            warn_once(_LOG, "%s names %s, which is no file: LOG_TYPE and LOG_LEVEL say what is logged", _VARIABLE, path)
    if load(LoggingSettings, {}).log_view_enabled:
        overrides()
    return str(path) if by_file else None


def _by_variables() -> None:
    settings = load(ScriptSettings, {})
    handler = JsonLogHandler(sys.stdout) if settings.log_type == "json" else ConsoleLogHandler(sys.stderr)
    logging.basicConfig(handlers=[handler], level=settings.other_log_level, force=True)
    frame = sys._getframe(2)  # noqa: SLF001 # whose package calls init
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    for name in (*_OWN, frame.f_globals.get("__name__"), getattr(spec, "name", None)):
        if name:
            logging.getLogger(name.partition(".")[0]).setLevel(settings.log_level)
