"""gunicorn's own application class, with our logger and our hooks added to whatever is configured."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.config import LoggerClass
from gunicorn.util import get_arity

from c2c_meta import _workers

_LOGGER = "c2c_meta._gunicorn_logger.Logger"


def _same_program(server: Any) -> None:
    """Have the second master, which SIGUSR2 starts, be this program: gunicorn would run a file named sys.argv[0]."""
    server.START_CTX["args"] = [sys.executable, "-P", "-m", "c2c_meta._gunicorn", *sys.argv[1:]]


# At the end those of the service come first: they may still use what ours end.
_HOOKS: dict[str, tuple[Callable[..., None], bool]] = {
    "when_ready": (_workers.when_ready, False),
    "pre_fork": (_workers.pre_fork, False),
    "post_fork": (_workers.post_fork, False),
    "post_worker_init": (_workers.post_worker_init, False),
    "worker_int": (_workers.worker_int, False),
    "worker_exit": (_workers.worker_exit, True),
    "child_exit": (_workers.child_exit, True),
    "pre_exec": (_same_program, True),
}


class GunicornApplication(WSGIApplication):
    """Gunicorn as its arguments and configuration files say, plus the hooks of ``_workers``."""

    def load_config(self) -> None:
        """Read the configuration, at the start and at each SIGHUP."""
        super().load_config()
        cfg = self.cfg
        for name, (hook, at_the_end) in _HOOKS.items():
            theirs = cfg.settings[name].get()
            cfg.set(name, _both(get_arity(hook), *((theirs, hook) if at_the_end else (hook, theirs))))
        if cfg.settings["logger_class"].get() in (LoggerClass.default, "simple") and cfg.statsd_host is None:
            cfg.set("logger_class", _LOGGER)
        access = logging.getLogger("gunicorn.access")
        if cfg.accesslog is None and access.level and access.isEnabledFor(logging.INFO):
            # The ini file has a section for the access log, so it wants one.
            cfg.set("accesslog", "-")


def _both(arity: int, first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., None]:
    # gunicorn looks at how many arguments a hook takes.
    def one(worker: Any) -> None:
        first(worker)
        second(worker)

    def two(server: Any, worker: Any) -> None:
        first(server, worker)
        second(server, worker)

    return one if arity == 1 else two
