"""gunicorn's own application, master, workers and logger, with what we add to whatever is configured."""

import contextlib
import faulthandler
import functools
import gc
import logging
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from gunicorn import glogging
from gunicorn.app import base
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import LoggerClass
from gunicorn.errors import HaltServer

from c2c_broadcast.process import service_folder
from c2c_meta._ini import ini_settings, set_up_logging_once
from c2c_meta._run import PROGRAM, config_path, refuse

_LOG = logging.getLogger("c2c_meta.workers")
_LOGGER = "c2c_meta._gunicorn.Logger"
_FOR_STACKS, _FOR_ENDS = 0.2, 2.0  # seconds
_PATIENCE = 2
"""Seconds that workers have to end at SIGINT and SIGQUIT."""
_NEXT_START = 5.0
"""Seconds between a start that failed and the next one."""
_MOST = 16_000  # characters of one report of stacks
_READY, _SERVED = 1, 2
"""How a worker is, in ``c2c_state``: it serves; it has served its share (--max-requests), and serves until replaced."""
_watches: list[Any] = []


def _refuse(what: object) -> NoReturn:
    """Say it in one line; gunicorn adds a traceback to some of it, and ends with 1 or 255."""
    refuse(str(what).splitlines()[0].rstrip(" :"))


def _safe(step: Callable[..., None], *args: Any) -> None:
    try:
        step(*args)
    except Exception:  # noqa: BLE001 - the boundary to gunicorn: a worker without one step's work is better than none
        _LOG.exception("%s failed", step.__name__)


class WatchingArbiter(Arbiter):
    """gunicorn's master, which remembers how its workers end: its hook for that is not told."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        # The second master, which SIGUSR2 starts, is this program: gunicorn would run a file named sys.argv[0].
        self.START_CTX["args"] = [*PROGRAM, *sys.argv[1:]]
        self.told: set[int] = set()
        """Those workers that are to end and finish what they have in hand."""
        self._killed: set[int] = set()
        self._next_start = 0.0
        self._reloads = False
        self._patience = 0

    def start(self) -> None:
        """Listen; exit 2 with one line where that can't be."""
        try:
            super().start()
        except (OSError, OverflowError, RuntimeError, ValueError, SystemExit) as error:
            # SystemExit: gunicorn has tried for five seconds, and logged it.
            why = "end what does, or choose another with --bind" if isinstance(error, SystemExit) else error
            _refuse(f"can't listen at {', '.join(map(str, self.cfg.bind))}: {why}")
        _safe(_when_ready, self)
        gc.collect()
        gc.freeze()  # a collector writes to all that it looks at: workers would have copies of what they share

    def reap_workers(self) -> None:
        """Note how each one ended: gunicorn asks the system, logs it and forgets it."""
        before, statuses, waitpid = dict(self.WORKERS), dict[int, int](), os.waitpid

        def noting(pid: int, options: int) -> tuple[int, int]:
            found = waitpid(pid, options)
            statuses[found[0]] = found[1]
            return found

        # To look before it asks is not enough: another one may end between the look and the question.
        os.waitpid = noting
        try:
            super().reap_workers()
        except HaltServer as error:  # a worker that can't start is no reason to end those that serve
            if not any(worker.c2c_state[0] for worker in self.WORKERS.values()):
                raise
            self._next_start = time.monotonic() + _NEXT_START
            text = "%s Those that are there serve on; no other start for %g s"
            self.log.error(text, error.reason, _NEXT_START)  # noqa: TRY400 # the worker has logged why
        finally:
            os.waitpid = waitpid
            for pid in before.keys() & statuses.keys():
                _safe(_say_how_it_ended, before[pid], statuses[pid], pid in self._killed)
        self.told.intersection_update(self.WORKERS)
        self._end_surplus()

    def manage_workers(self) -> None:
        """Have as many workers as are wanted, and one more where one has served its share: it ends when that is ready.

        One at a time: of workers that reach their limit together none leaves before another one has come.
        """
        staying = [worker for pid, worker in self.WORKERS.items() if pid not in self.told]
        missing = self.num_workers - len(staying)
        if not missing and any(worker.c2c_state[0] == _SERVED for worker in staying):
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
        ready = [worker for worker in staying.values() if worker.c2c_state[0]]
        surplus = min(len(staying), len(ready)) - self.num_workers
        leaving = sorted(staying.items(), key=lambda one: (one[1].c2c_state[0] != _SERVED, one[1].age))
        for pid, _ in leaving[: max(surplus, 0)]:
            self.told.add(pid)
            self.kill_worker(pid, signal.SIGTERM)

    def kill_workers(self, sig: int) -> None:
        """Have workers that are to be killed write where they are, first."""
        if sig == signal.SIGKILL and self.WORKERS:
            self._killed.update(self.WORKERS)
            for pid in list(self.WORKERS):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGABRT)  # its handler, which is C, writes the stacks
            time.sleep(_FOR_STACKS)
        super().kill_workers(sig)

    def stop(self, graceful: bool = True) -> None:
        """Wait for those that were killed, too: what they had in hand is said when they are gone."""
        if not graceful:
            self.cfg.set("graceful_timeout", min(_PATIENCE, self.cfg.graceful_timeout))
        super().stop(graceful)
        limit = time.monotonic() + _FOR_ENDS
        while self.WORKERS and time.monotonic() < limit:
            self.reap_workers()
            time.sleep(_FOR_STACKS / 10)


def _when_ready(server: Any) -> None:
    """Let the master linger at SIGTERM, serve probes, watch what its workers have in hand: what takes part."""
    from c2c_broadcast import load
    from c2c_health import HealthSettings
    from c2c_health import gunicorn as health_hooks
    from c2c_meta._glue import MetaSettings

    with contextlib.suppress(OSError):  # said where it is needed
        service_folder("master")  # so that the master removes what its workers had there, when it ends
    values = ini_settings(config_path(os.environ))
    exclude = load(MetaSettings, values).exclude
    if "c2c_health" not in exclude:
        health_hooks.when_ready(server, settings=load(HealthSettings, values))
    if "c2c_debug" not in exclude:
        from c2c_debug import DebugSettings
        from c2c_debug.running import Watch

        if load(DebugSettings, values).requests_in_flight:
            _watches.append(Watch())


def _say_how_it_ended(worker: Any, status: int, killed: bool) -> None:
    """Log where a worker hung or crashed, and each request it had in hand. Its counts c2c-stats merges by itself."""
    with worker.c2c_stacks as file:
        file.seek(0)
        stacks = file.read(_MOST + 1).decode(errors="replace")
    if stacks:
        text = stacks if len(stacks) <= _MOST else f"{stacks[:_MOST]}\n(cut)"
        _LOG.error("Worker (pid:%s) was stuck, aborted or crashed; its threads were here:\n%s", worker.pid, text)
    reason = "timeout" if worker.aborted else "graceful_timeout" if killed else None
    for watch in _watches:
        watch.ended(worker.pid, status=status, reason=reason)


def _before_the_fork(_server: Any, worker: Any) -> None:
    """Give the worker what tells the master where it hung, even if it never runs another line, and how it is.

    Its threads' stacks it writes from a C signal handler (``faulthandler``): this works while a thread holds the
    interpreter for ever, and at a segmentation fault too. The file is in memory: a container may have no folder that
    can be written to.
    """
    worker.c2c_state = mmap.mmap(-1, 1)  # anonymous and shared
    worker.c2c_stacks = os.fdopen(os.memfd_create("c2c-stacks"), "w+b")


def _begin(worker: Any) -> None:
    """Be ready to say where this worker hangs, and that it has served its share; take part in broadcasts."""
    worker.c2c_limit, worker.max_requests = worker.max_requests, sys.maxsize
    worker.c2c_state[0] = _READY
    from c2c_broadcast import broadcast

    _safe(broadcast.start)
    if _watches:
        from c2c_debug.running import begin

        _safe(begin)
    if "c2c_health" in sys.modules:
        from c2c_health.gunicorn import post_worker_init as serve_probes

        _safe(serve_probes, worker)
    faulthandler.disable()  # where it is on already, the handlers that it keeps are older than gunicorn's
    aborted = signal.getsignal(signal.SIGABRT)
    if callable(aborted):
        signal.signal(signal.SIGABRT, aborted)
    faulthandler.enable(worker.c2c_stacks)


def _after_a_request(worker: Any, *_: Any) -> None:
    """Say when this worker has served its share; gunicorn itself would end it, before another one is there."""
    if worker.nr >= worker.c2c_limit:
        worker.c2c_state[0] = _SERVED


_HOOKS: dict[str, Callable[..., None]] = {
    "pre_fork": _before_the_fork,
    "post_worker_init": _begin,
    "post_request": _after_a_request,
}


def _both(ours: Callable[..., None], theirs: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(theirs)  # gunicorn looks at how many arguments a hook takes
    def hook(*args: Any) -> None:
        _safe(ours, *args)
        theirs(*args)

    return hook


class GunicornApplication(WSGIApplication):
    """Gunicorn as its arguments and configuration files say, plus our hooks."""

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
            raise ValueError(f"--log-level {cfg.loglevel}: must be one of {', '.join(glogging.Logger.LOG_LEVELS)}")
        if cfg.worker_tmp_dir and not Path(cfg.worker_tmp_dir).is_dir():
            raise ValueError(f"--worker-tmp-dir {cfg.worker_tmp_dir}: there is no such folder")
        for name, ours in _HOOKS.items():
            cfg.set(name, _both(ours, cfg.settings[name].get()))
        if cfg.settings["logger_class"].get() in (LoggerClass.default, "simple") and cfg.statsd_host is None:
            cfg.set("logger_class", _LOGGER)
        if "control_socket" in cfg.settings and cfg.control_socket == cfg.settings["control_socket"].default:
            with contextlib.suppress(OSError):  # gunicorn's default is one for all services of a user
                cfg.set("control_socket", str(service_folder("gunicorn") / "control.sock"))


class Logger(glogging.Logger):
    """Let gunicorn's records go where the ini file says, each of them once.

    A log for which gunicorn is given a file (``--error-logfile``, ``--access-logfile``), and both with ``--log-config``
    and its kin, are gunicorn's business. The others have no handler of gunicorn's where the ini file sets up logging:
    they propagate, and the level that it gives to ``gunicorn``, ``gunicorn.error`` or ``gunicorn.access`` holds
    (without one ``--log-level``, as always).
    """

    def __init__(self, cfg: Any) -> None:
        logs = map(logging.getLogger, ("gunicorn.error", "gunicorn.access"))
        self._said = {log: (log.level, log.propagate) for log in logs}
        super().__init__(cfg)

    def setup(self, cfg: Any) -> None:
        """Set both loggers up, at the start and at each SIGHUP."""
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        if not set_up_logging_once(config_path(os.environ)):
            return
        for log, output in ((self.error_log, cfg.errorlog), (self.access_log, cfg.accesslog)):
            level, propagate = self._said[log]
            log.setLevel(level or log.level)
            if output in (None, "-"):
                for handler in list(log.handlers):
                    # Not those for --log-syslog, which was asked for.
                    if getattr(handler, "_gunicorn", False) and type(handler) is logging.StreamHandler:
                        log.removeHandler(handler)
                log.propagate = propagate
        if not self._said[self.error_log][0] and logging.getLogger("gunicorn").level:
            self.error_log.setLevel(logging.NOTSET)
