"""One replica: its engine, what is known of it, and the thread that looks at it while there is traffic."""

import logging
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event

from c2c_broadcast import mask
from c2c_db._engines import engine_name
from c2c_db._forks import after_fork
from c2c_db._observers import Observers, Probed, StateChanged
from c2c_db._probe import probe
from c2c_db._replica_state import PATIENCE, State, Status, Tracker
from c2c_db._sockets import cut

_LOG = logging.getLogger(__name__)
# Seconds that a probe took when its server is taken to hang, not to refuse.
_HUNG = 0.9


class Replica:
    """A replica as this process sees it.

    ``look`` is what a request does: it notes the traffic and returns the state. A thread, started by the first look,
    probes once an interval as long as somebody looks, and sleeps without one otherwise.
    """

    def __init__(
        self,
        database: str,
        engine: Engine,
        connect_args: Mapping[str, Any],
        max_lag: float | None,
        observers: Observers,
    ) -> None:
        self.database = database
        self.engine = engine
        self.name = engine_name(engine)
        self._connect_args = connect_args
        self._max_lag = max_lag
        self._observers = observers
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._renew()
        if engine.dialect.name == "postgresql":
            event.listen(engine, "connect", self._connected)
        after_fork(self, Replica._renew)

    def _renew(self) -> None:
        """Begin: in a new process nothing is known, and no thread runs."""
        self.tracker = Tracker(self._max_lag, time.monotonic())
        self._thread: threading.Thread | None = None
        self._traffic = False
        self._parked = True
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._answered = threading.Condition()
        self._open = weakref.WeakSet()
        self._open_lock = threading.Lock()

    def look(self) -> State:
        """Return the state; where nothing is known, wait for the probe, ``PATIENCE`` seconds at most."""
        self._traffic = True
        if self._parked:
            self._unpark()
        state = self.tracker.state(time.monotonic())
        if state is State.UNKNOWN and not self.tracker.is_silent(time.monotonic()):
            with self._answered:
                self._answered.wait_for(lambda: self._state() is not State.UNKNOWN, PATIENCE)
            state = self._state()
        return state

    def failed(self, reason: str) -> None:
        """Note that a request could not connect, or lost its connection: leave the replica alone for a while."""
        self._report(*self.tracker.failed(mask(reason.strip().partition("\n")[0]), time.monotonic()))

    @property
    def status(self) -> Status:
        """The state as of now, lag, since when, and why."""
        status, state = self.tracker.status, self._state()
        if state is status.state:
            return status
        reason = "it does not answer" if self.tracker.is_silent(time.monotonic()) else "not probed lately"
        return Status(state, None, status.since, reason)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._wake.set()

    def _state(self) -> State:
        return self.tracker.state(time.monotonic())

    def _unpark(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            self._parked = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"c2c_db probe {self.name}", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while self._wake.wait() and not self._closed.is_set():
            self._wake.clear()
            while True:
                self._traffic = False
                self._probe()
                if self._closed.wait(self.tracker.interval()):
                    return
                if not self._had_traffic():
                    self._parked = True
                    if not self._had_traffic():  # else: it came between the two lines
                        break
                    self._parked = False

    def _had_traffic(self) -> bool:
        return self._traffic

    def _probe(self) -> None:
        started = self.tracker.probing_since = time.monotonic()
        try:
            seen = probe(self.engine, self._connect_args)
        except Exception as error:  # noqa: BLE001 # whatever stops a probe means that the replica is not usable
            now = time.monotonic()
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            self._report(*self.tracker.failed(mask(reason), now))
            if now - started > _HUNG:
                self._cut()
        else:
            self._report(*self.tracker.observed(seen, time.monotonic()))
        status = self.tracker.status
        self._observers.notify(Probed(self.database, self.name, status.state, status.lag))
        with self._answered:
            self._answered.notify_all()

    def _report(self, before: Status, after: Status) -> None:
        if before.state is after.state:
            return
        level = logging.INFO if after.state is State.USABLE else logging.WARNING
        lag = "" if after.lag is None else f", {after.lag:.1f} s behind"
        _LOG.log(level, "Replica %s: %s -> %s (%s%s)", self.name, before.state, after.state, after.reason, lag)
        if after.state is State.OFFLINE:
            self.engine.dispose()  # its idle connections are as dead as it is
        self._observers.notify(
            StateChanged(self.database, self.name, before.state, after.state, after.reason, after.lag)
        )

    def _connected(self, connection: Any, _record: Any) -> None:
        with self._open_lock:
            self._open.add(connection)

    def _cut(self) -> None:
        """Free the requests that wait for an answer of a server that hangs: they fail over."""
        with self._open_lock:
            connections = tuple(self._open)
        for connection in connections:
            cut(connection)
