"""What happens to a worker process: gunicorn's hooks, named as its settings are. None ever raises into gunicorn.

In the master: ``when_ready``, ``pre_fork``, ``child_exit``. In the worker: ``post_fork``, ``post_worker_init``,
``worker_int``, ``worker_exit``.
"""

import _thread
import contextlib
import faulthandler
import functools
import logging
import mmap
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from c2c_meta._ini import Ini, application_values
from c2c_meta._run import config_path

_LOG = logging.getLogger(__name__)
# Seconds that a worker has to end when it is told to at once (SIGINT, SIGQUIT).
_PATIENCE = 2.0
_MOST = 16_000  # characters of one report of stacks


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """This process was told to stop (SIGTERM, SIGINT, SIGQUIT, reload) or stops by itself (max-requests); sent once.

    Subscribe with ``config.add_subscriber(callback, ShuttingDown)``. The callback may run in a signal handler, in the
    middle of anything: it sets a flag and no more, takes no lock and logs nothing. Requests are still being served.
    """

    pid: int


class Stacks:
    """Where a worker that gunicorn gives up hung, even if it never runs another line of Python.

    A worker writes its threads' stacks to a file in memory that the master opened before the fork, from a C signal
    handler (``faulthandler``): this works while a thread holds the interpreter for ever, and at a segmentation fault
    too. The master reads the file when the worker is gone.
    """

    def __init__(self) -> None:
        self._files: dict[Any, IO[bytes]] = {}

    def open(self, worker: Any) -> None:
        """Open a worker's file, before the fork."""
        if hasattr(os, "memfd_create"):  # Linux; a container may have no folder that can be written to
            self._files[worker] = os.fdopen(os.memfd_create("c2c-stacks"), "w+b")
        else:
            self._files[worker] = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it

    def keep_only(self, worker: Any) -> None:
        """Close the other workers' files, in a worker."""
        for other in [other for other in self._files if other is not worker]:
            self._files.pop(other).close()

    def watch(self, worker: Any) -> None:
        """Have this process write its threads' stacks when it is aborted, before its own handler of SIGABRT runs."""
        faulthandler.disable()  # where it is on already, the handlers that it keeps are older than gunicorn's
        aborted = signal.getsignal(signal.SIGABRT)
        if callable(aborted):
            signal.signal(signal.SIGABRT, aborted)
        faulthandler.enable(self._files[worker])

    def close(self, worker: Any) -> str:
        """Return what a worker that is gone wrote, "" if nothing, and forget it."""
        with self._files.pop(worker) as file:
            file.seek(0)
            text = file.read(_MOST + 1).decode(errors="replace")
        return text if len(text) <= _MOST else f"{text[:_MOST]}\n(cut)"


_stacks = Stacks()
_told: set[int] = set()
_READY, _SERVED = 1, 2
_watches: list[Any] = []


def _safe(hook: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(hook)
    def run(*args: Any) -> None:
        try:
            hook(*args)
        except Exception:  # noqa: BLE001 - the boundary to gunicorn: a worker without a hook's work is better than none
            _LOG.exception("The worker hook %s failed", hook.__name__)

    return run


@_safe
def when_ready(server: Any) -> None:
    """Let the master linger at SIGTERM, open the probe address, and watch what its workers have in hand.

    None of it where the package that does it is left out.
    """
    from c2c_broadcast import load
    from c2c_broadcast.process import service_folder
    from c2c_health import HealthSettings
    from c2c_health import gunicorn as health_hooks
    from c2c_meta._settings import MetaSettings

    with contextlib.suppress(OSError):  # said where it is needed
        service_folder("master")  # so that the master removes what its workers had there, when it ends
    values = application_values(Ini(config_path(os.environ)))
    exclude = load(MetaSettings, values).exclude
    if "c2c_health" not in exclude:
        health_hooks.when_ready(server, settings=load(HealthSettings, values))
    if "c2c_debug" not in exclude:
        from c2c_debug import DebugSettings
        from c2c_debug.running import Watch

        if load(DebugSettings, values).requests_in_flight:
            _watches.append(Watch())


@_safe
def pre_fork(_server: Any, worker: Any) -> None:
    """Open the file that tells the master where the worker hung, and the byte that tells how it is."""
    worker.c2c_state = mmap.mmap(-1, 1)  # anonymous and shared
    _stacks.open(worker)


@_safe
def post_fork(_server: Any, worker: Any) -> None:
    """Leave the files of the other workers to the master."""
    _stacks.keep_only(worker)


def is_ready(worker: Any) -> bool:
    """Whether a worker has begun to serve: the master asks."""
    return bool(worker.c2c_state[0])


def has_served_its_share(worker: Any) -> bool:
    """Whether a worker has come to its limit of requests (--max-requests), and serves on until it is replaced."""
    return bool(worker.c2c_state[0] == _SERVED)


def count_request(worker: Any) -> None:
    """Say when this worker has served its share; gunicorn itself would end it, before another one is there."""
    if worker.nr >= worker.c2c_limit:
        worker.c2c_state[0] = _SERVED


def _tell_ready(worker: Any) -> None:
    worker.c2c_limit, worker.max_requests = worker.max_requests, sys.maxsize
    worker.c2c_state[0] = _READY


def post_worker_init(worker: Any) -> None:
    """Be ready to say where this worker hangs, and that it ends; take part in broadcasts."""
    _safe(_tell_ready)(worker)
    _safe(_stacks.watch)(worker)
    _safe(_listen_for_the_end)()
    _safe(_start_broadcaster)()
    _safe(_count_what_was_lost)()
    if "c2c_health" in sys.modules:
        from c2c_health.gunicorn import post_worker_init as serve_probes

        _safe(serve_probes)(worker)


@_safe
def worker_int(_worker: Any) -> None:
    """Announce the end at a reload; at a signal it is announced already."""
    announce_shutdown()


@_safe
def worker_exit(_server: Any, _worker: Any) -> None:
    """Announce the end where nothing did, as after max-requests; keep what was measured."""
    announce_shutdown()
    if "c2c_meta._coverage" in sys.modules:
        from c2c_meta._coverage import save_coverage

        save_coverage()


@_safe
def child_exit(server: Any, worker: Any) -> None:
    """Log where a worker hung or crashed, and each request it had in hand. Its counts c2c-stats merges by itself."""
    status = getattr(server, "statuses", {}).pop(worker.pid, None)
    killed = worker.pid in getattr(server, "killed", ())
    stacks = _stacks.close(worker)
    if stacks:
        _LOG.error("Worker (pid:%s) was stuck, aborted or crashed; its threads were here:\n%s", worker.pid, stacks)
    reason = "timeout" if worker.aborted else "graceful_timeout" if killed else None
    for watch in _watches:
        watch.ended(worker.pid, status=status, reason=reason)


def announce_shutdown() -> None:
    """Send ``ShuttingDown`` to each Pyramid application of this process, once."""
    pid = os.getpid()
    if pid in _told:
        return
    _told.add(pid)
    config = sys.modules.get("pyramid.config")
    for registry in list(config.global_registries) if config else ():
        registry.notify(ShuttingDown(pid))


def _start_broadcaster() -> None:
    from c2c_broadcast import broadcast

    broadcast.start()


def _count_what_was_lost() -> None:
    if _watches:
        from c2c_debug.running import begin

        begin()


def _listen_for_the_end() -> None:
    # gunicorn has no hook for SIGTERM, by which a worker is told to end in peace, and calls that for the others late.
    # Lingering comes before all this: it is the master's.
    for number, at_once in ((signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGQUIT, True)):
        then = signal.getsignal(number)
        if callable(then):
            signal.signal(number, functools.partial(_told_to_end, then, at_once))
    signal.siginterrupt(signal.SIGTERM, False)  # as gunicorn has it: running system calls go on


def _told_to_end(then: Callable[[int, Any], Any], at_once: bool, number: int, frame: Any) -> None:
    _safe(announce_shutdown)()
    if at_once:
        # A thread of the lowest kind: threading would take a lock that the interrupted code may hold.
        with contextlib.suppress(RuntimeError):  # the system has none to give
            _thread.start_new_thread(_end_anyway, ())
    then(number, frame)


def _end_anyway() -> None:
    # gunicorn's handler waits for locks that the interrupted code may hold, and the interpreter waits for requests.
    time.sleep(_PATIENCE)
    os._exit(0)
