"""gunicorn's two loggers, in the ini file's hands."""

import logging
import os
from typing import Any

from gunicorn import glogging

from c2c_meta._application import set_up_logging_once
from c2c_meta._run import config_path


class Logger(glogging.Logger):
    """Let gunicorn's records go where the ini file says, each of them once.

    A log for which gunicorn is given a file (``--error-logfile``, ``--access-logfile``), and both with ``--log-config``
    and its kin, are gunicorn's business. The others have no handler of gunicorn's where the ini file sets up logging:
    they propagate, and the level that it gives to ``gunicorn``, ``gunicorn.error`` or ``gunicorn.access`` holds
    (without one ``--log-level``, as always).
    """

    def __init__(self, cfg: Any) -> None:
        error, access = logging.getLogger("gunicorn.error"), logging.getLogger("gunicorn.access")
        self._levels = {error: error.level, access: access.level}
        self._propagate = {error: error.propagate, access: access.propagate}
        super().__init__(cfg)

    def setup(self, cfg: Any) -> None:
        """Set both loggers up, at the start and at each SIGHUP."""
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        if not set_up_logging_once(config_path(os.environ)):
            return
        self._hand_over(self.error_log, cfg.errorlog)
        self._hand_over(self.access_log, cfg.accesslog)
        if not self._levels[self.error_log] and logging.getLogger("gunicorn").level:
            self.error_log.setLevel(logging.NOTSET)

    def _hand_over(self, log: logging.Logger, output: str | None) -> None:
        if self._levels[log]:
            log.setLevel(self._levels[log])
        if output not in (None, "-"):
            return
        for handler in list(log.handlers):
            # Not those for --log-syslog, which was asked for.
            if getattr(handler, "_gunicorn", False) and type(handler) is logging.StreamHandler:
                log.removeHandler(handler)
        log.propagate = self._propagate[log]
