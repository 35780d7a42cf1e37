"""gunicorn's own application, master and logger, with what we add to whatever is configured."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gunicorn import glogging
from gunicorn.app import base
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import LoggerClass
from gunicorn.errors import HaltServer
from gunicorn.util import get_arity

from c2c_broadcast.process import service_folder
from c2c_meta import _workers
from c2c_meta._ini import set_up_logging_once
from c2c_meta._run import config_path

_LOGGER = "c2c_meta._gunicorn_application.Logger"
_FOR_STACKS, _FOR_ENDS = 0.2, 2.0  # seconds
_NEXT_START = 5.0
"""Seconds between a start that failed and the next one."""
_LEVELS = ", ".join(glogging.Logger.LOG_LEVELS)


def _refuse(what: object) -> NoReturn:
    """Say in one line what can't be, and end; gunicorn adds a traceback to some of it, and says 1 or 255."""
    sys.stderr.write(f"c2c-run: {str(what).splitlines()[0].rstrip(' :')}\n")
    sys.exit(2)


def _same_program(server: Any) -> None:
    """Have the second master, which SIGUSR2 starts, be this program: gunicorn would run a file named sys.argv[0]."""
    server.START_CTX["args"] = [sys.executable, "-P", "-m", "c2c_meta._gunicorn", *sys.argv[1:]]


class WatchingArbiter(Arbiter):
    """gunicorn's master, which remembers how its workers end: its hook for that is not told."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.statuses: dict[int, int] = {}
        """How each worker ended, as of ``os.waitpid``, until its ``child_exit``."""
        self.killed: set[int] = set()
        """The workers that this master killed because they had not ended in time."""
        self.told: set[int] = set()
        """Those that are to end and finish what they have in hand."""
        self._next_start = 0.0
        self._reloads = False
        self._patience = 0

    def start(self) -> None:
        """Listen; exit 2 with one line where that can't be."""
        try:
            super().start()
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            _refuse(f"{', '.join(map(str, self.cfg.bind))}: {error}")
        except SystemExit:  # gunicorn has tried for five seconds, and logged it
            _refuse(
                f"can't listen at {', '.join(map(str, self.cfg.bind))}: end what does, or choose another with --bind"
            )

    def reap_workers(self) -> None:
        """Note how each one ended: gunicorn asks the system, logs it and forgets it before it calls ``child_exit``."""
        waitpid = os.waitpid

        def noting(pid: int, options: int) -> tuple[int, int]:
            found = waitpid(pid, options)
            if found[0]:
                self.statuses[found[0]] = found[1]
            return found

        # To look before it asks is not enough: another one may end between the look and the question.
        os.waitpid = noting
        try:
            super().reap_workers()
        except HaltServer as error:  # a worker that can't start is no reason to end those that serve
            if not any(map(_workers.is_ready, self.WORKERS.values())):
                raise
            self._next_start = time.monotonic() + _NEXT_START
            text = "%s Those that are there serve on; no other start for %g s"
            self.log.error(text, error.reason, _NEXT_START)  # noqa: TRY400 # the worker has logged why
        finally:
            os.waitpid = waitpid
            self.statuses.clear()  # those of workers were asked for; of other children (as process 1) nobody asks
        self.told.intersection_update(self.WORKERS)
        self._end_surplus()

    def manage_workers(self) -> None:
        """Have as many workers as are wanted, and one more where one has served its share: it ends when that is ready.

        One at a time: of workers that reach their limit together none leaves before another one has come.
        """
        staying = [worker for pid, worker in self.WORKERS.items() if pid not in self.told]
        missing = self.num_workers - len(staying)
        if not missing and any(_workers.has_served_its_share(worker) for worker in staying):
            missing = 1
        for _ in range(missing if time.monotonic() >= self._next_start else 0):
            self.spawn_worker()
        self._end_surplus()
        if self._reloads:
            self._patience = self.cfg.graceful_timeout
            self.cfg.set("graceful_timeout", 0)

    def reload(self) -> None:
        """Start new workers and go on: gunicorn would wait for the end of the old ones, deaf to SIGTERM meanwhile."""
        self._reloads = True
        super().reload()
        self._reloads = False
        self.cfg.set("graceful_timeout", self._patience)

    def _end_surplus(self) -> None:
        """End workers of which there are too many, as far as enough others are ready: after SIGHUP the old ones."""
        staying = {pid: worker for pid, worker in self.WORKERS.items() if pid not in self.told}
        ready = [worker for worker in staying.values() if _workers.is_ready(worker)]
        surplus = min(len(staying), len(ready)) - self.num_workers
        leaving = sorted(staying.items(), key=lambda one: (not _workers.has_served_its_share(one[1]), one[1].age))
        for pid, _ in leaving[: max(surplus, 0)]:
            self.told.add(pid)
            self.kill_worker(pid, signal.SIGTERM)

    def kill_workers(self, sig: int) -> None:
        """Have workers that are to be killed write where they are, first."""
        if sig == signal.SIGKILL and self.WORKERS:
            self.killed.update(self.WORKERS)
            for pid in list(self.WORKERS):
                with suppress(OSError):
                    os.kill(pid, signal.SIGABRT)  # its handler, which is C, writes the stacks
            time.sleep(_FOR_STACKS)
        super().kill_workers(sig)

    def stop(self, graceful: bool = True) -> None:
        """Wait for those that were killed, too: what they had in hand is said when they are gone."""
        super().stop(graceful)
        limit = time.monotonic() + _FOR_ENDS
        while self.WORKERS and time.monotonic() < limit:
            self.reap_workers()
            time.sleep(_FOR_STACKS / 10)


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

    _access_log: bool | None = None

    def run(self) -> None:
        """Be the master, until the end."""
        base.Arbiter = WatchingArbiter  # gunicorn has no other way to choose it
        super().run()

    def do_load_config(self) -> None:
        """Read the configuration; exit 2 with one line where it can't be what it says."""
        try:
            self.load_default_config()
            self.load_config()
        except Exception as error:  # noqa: BLE001 # what its settings raise, and those of a class that they name
            _refuse(error)

    def reload(self) -> None:
        """Read the configuration again, at SIGHUP; go on with the one there is where the new one can't be."""
        before = vars(self)["cfg"]
        try:
            super().reload()
        except SystemExit:
            self.cfg = before
            log = logging.getLogger("gunicorn.error")
            log.error("SIGHUP: the configuration stays as it was")  # noqa: TRY400 # the line before says why

    def load_config(self) -> None:
        """Read the configuration, at the start and at each SIGHUP.

        Raises:
            RuntimeError, ValueError: It has a value that can't be used; the message's first line names it.
        """
        super().load_config()
        cfg = self.cfg
        cfg.worker_class  # noqa: B018 # looks for it
        if cfg.workers < 1:
            raise ValueError("--workers 0: nobody would answer; give 1 or more")
        if cfg.loglevel.lower() not in glogging.Logger.LOG_LEVELS:
            raise ValueError(f"--log-level {cfg.loglevel}: must be one of {_LEVELS}")
        if cfg.worker_tmp_dir and not Path(cfg.worker_tmp_dir).is_dir():
            raise ValueError(f"--worker-tmp-dir {cfg.worker_tmp_dir}: there is no such folder")
        for name, (hook, at_the_end) in _HOOKS.items():
            theirs = cfg.settings[name].get()
            cfg.set(name, _both(get_arity(hook), *((theirs, hook) if at_the_end else (hook, theirs))))
        if cfg.settings["logger_class"].get() in (LoggerClass.default, "simple") and cfg.statsd_host is None:
            cfg.set("logger_class", _LOGGER)
        if cfg.max_requests:
            theirs = cfg.settings["post_request"].get()
            cfg.set("post_request", _after_each(theirs))
        if "control_socket" in cfg.settings and cfg.control_socket == cfg.settings["control_socket"].default:
            with suppress(OSError):  # gunicorn's default is one for all services of a user
                cfg.set("control_socket", str(service_folder("gunicorn") / "control.sock"))
        if self._access_log is None:  # at the start: later on the level is the one that gunicorn gave it
            access = logging.getLogger("gunicorn.access")
            self._access_log = bool(access.level) and access.isEnabledFor(logging.INFO)
        if cfg.accesslog is None and self._access_log:
            # The ini file has a section for the access log, so it wants one.
            cfg.set("accesslog", "-")


def _after_each(theirs: Callable[..., Any]) -> Callable[..., None]:
    def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
        _workers.count_request(worker)
        theirs(worker, request, environ, response)

    return post_request


def _both(arity: int, first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., None]:
    # gunicorn looks at how many arguments a hook takes.
    def one(worker: Any) -> None:
        first(worker)
        second(worker)

    def two(server: Any, worker: Any) -> None:
        first(server, worker)
        second(server, worker)

    return one if arity == 1 else two


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
