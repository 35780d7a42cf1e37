"""What importing ``c2cwsgiutils.setup_process`` does: a script or a daemon has what the service has, without it."""

import logging
import os
from collections.abc import Mapping

import c2c_logging
import c2c_sentry
import c2c_stats
from c2c_broadcast import broadcast
from c2c_compat._era import era_of, set_defaults
from c2c_compat._loggers import adopt
from c2c_compat._refusal import refuse
from c2c_stats.prometheus import enable_prometheus

_LOG = logging.getLogger(__name__)


def by_import() -> bool:
    """Tell whether importing ``c2cwsgiutils.setup_process`` sets a process up: in era 3."""
    return era_of({}).number == 3  # noqa: PLR2004 # the era's number


def set_up_by_import() -> None:
    """Set this process up where importing ``c2cwsgiutils.setup_process`` did that."""
    refuse()
    if by_import():
        set_up()


def set_up(config_file: str | None = None) -> None:
    """Set this process up: coverage (``COVERAGE``), logging, Sentry, metrics, broadcasts; no application is loaded.

    Settings are those of the environment, and of the application in the ini file that ``C2CWSGIUTILS_CONFIG`` names
    (``/app/production.ini``), where there is one. Twice is fine, and so is a process that serves an application.

    Raises:
        ImportError: The real c2cwsgiutils is installed, too.
        ConfigurationError: A setting, or what the ini file says about logging, can't be followed.
    """
    refuse()
    if os.environ.get("COVERAGE"):
        from c2c_meta import start_coverage

        start_coverage()
    from c2c_compat._driver import keep_driver

    adopt()
    keep_driver()
    settings = dict(_application_settings(c2c_logging.init(path_of(config_file) if config_file else None)))
    era = set_defaults(settings)
    c2c_sentry.init(settings)
    if not c2c_stats.BACKENDS:  # an application of this process has set up more
        c2c_stats.init_backends(settings)
    if era.number == 6:  # noqa: PLR2004 # scripts of 6 serve prometheus_client's registry themselves
        enable_prometheus(settings)
    broadcast.init(settings)
    broadcast.start()


def path_of(config_file: str) -> str:
    """Return the path of an ini file that may be given as ``c2c://production.ini#name``."""
    return config_file.partition("://")[2 if "://" in config_file else 0].partition("#")[0]


def _application_settings(path: str | None) -> Mapping[str, str]:
    if path is None or not os.path.isfile(path):  # noqa: PTH113 # the text is what is passed on
        return {}
    from c2c_meta import IniError, ini_settings

    try:
        return ini_settings(path)
    except IniError as error:
        # The application needs more variables than a script may have.
        _LOG.warning("The settings of this process are those of the environment alone: %s", error)
        return {}
