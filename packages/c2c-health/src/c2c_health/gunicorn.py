"""gunicorn's part: a service that is told to stop turns its readiness red, and serves on for some seconds.

In ``gunicorn.conf.py`` (c2c-run does it by itself)::

    from c2c_health.gunicorn import post_worker_init, when_ready  # noqa: F401

At the first SIGTERM the master does not stop yet: for ``C2C_HEALTH_LINGER`` seconds all is as before, except that
``GET {base}/health/ready`` fails in every worker, so that a balancer sends nothing more. Then gunicorn stops as it
always does. A second SIGTERM, SIGINT or SIGQUIT stops it at once. Workers that come and go meanwhile (SIGHUP,
max-requests, SIGTTOU) are no end of the service, and nothing turns red for them.
"""

import mmap
import os
import signal
from typing import Any

from c2c_broadcast import load
from c2c_health._settings import HealthSettings


class Linger:
    """The end of a service, as its master knows it and its forked workers see it."""

    def __init__(self) -> None:
        self._page: mmap.mmap | None = None

    @property
    def stopping(self) -> bool:
        """Whether the master of this process was told to stop."""
        return self._page is not None and self._page[0] != 0

    def install(self, seconds: float) -> None:
        """Delay what this process does at SIGTERM by so many seconds; in its main thread, before it forks."""
        if self._page is not None:
            return
        page = self._page = mmap.mmap(-1, 1)  # anonymous and shared: one byte for the master and all its children
        master = os.getpid()
        then: Any = signal.getsignal(signal.SIGTERM)  # gunicorn's

        def end(_number: int, frame: Any) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            then(signal.SIGTERM, frame)

        def begin(number: int, frame: Any) -> None:
            # Between its fork and its own handlers a worker has this one.
            first = os.getpid() == master and not page[0]
            if first:
                page[0] = 1
            if first and seconds > 0:
                signal.setitimer(signal.ITIMER_REAL, seconds)
            else:
                end(number, frame)

        signal.signal(signal.SIGALRM, end)
        signal.signal(signal.SIGTERM, begin)


linger = Linger()
"""Of the process, as signals are."""


def when_ready(server: Any, *, settings: HealthSettings | None = None) -> None:
    """Let the master linger as ``C2C_HEALTH_LINGER`` says and open ``C2C_PROBE_ADDRESS``: gunicorn's hook of this name.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    from c2c_health._probes import probes, request_threads

    settings = settings or load(HealthSettings, {})
    linger.install(settings.linger)
    threads = {"sync": 1, "gthread": server.cfg.threads}.get(server.cfg.worker_class_str)
    request_threads.known, request_threads.listeners = threads, [listener.sock for listener in server.LISTENERS]
    probes.open(settings.probe_address)


def post_worker_init(_worker: Any) -> None:
    """Serve the probe address in this worker, from its start on: gunicorn's hook of this name."""
    from c2c_health._probes import probes

    probes.serve()
