"""Whether this process reports errors: once started, it does until its end."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from c2c_broadcast import load
from c2c_sentry._events import Events
from c2c_sentry._settings import SentrySettings

_LOG = logging.getLogger(__name__)


class Reporting:
    """The state of the process. Sentry's SDK has one client a process, and so have we."""

    def __init__(self) -> None:
        self.events = Events()
        self.active = False
        self._url: str | None = None

    def start(self, settings: SentrySettings) -> None:
        """Start to report, unless there is no DSN, or it has been tried."""
        if settings.url is None or settings.url == self._url:
            return
        if self._url is not None:
            _LOG.warning("Errors are reported to one Sentry project a process: a second DSN is not used")
            return
        from c2c_sentry import _sdk

        self.active = _sdk.start(settings, self.events)
        self._url = settings.url

    def capture(self, error: BaseException) -> None:
        """Report an exception, where reporting is on. Never raises."""
        if self.active:
            from c2c_sentry import _sdk

            _sdk.capture(error)


REPORTING = Reporting()
"""The one of this process."""


def init(settings: Mapping[str, Any] | None = None) -> None:
    """Report the errors of a script: as the environment, and ``settings`` of an ini file, say. Once a process.

    Raises:
        ConfigurationError: A setting can't be read. A bad DSN is no such error: it is logged, and nothing is reported.
    """
    given = settings or {}
    REPORTING.events.learn(given)
    REPORTING.start(load(SentrySettings, given, os.environ))


@contextmanager
def capture_exceptions() -> Iterator[None]:
    """Report what is raised inside of a ``with``, or in a function decorated with it, and let it pass."""
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        REPORTING.capture(error)
        raise
