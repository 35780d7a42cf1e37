"""Replicas: what is known of each from probes and failures, and the choice of the one that a read goes to."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from c2c_db._engines import Opened
from c2c_db._failures import Failure, NoReplicaError, failure_of
from c2c_db._marks import Mark, in_window, parse_lsn
from c2c_db._observers import Observers, Probed, State, StateChanged
from c2c_db._primary import Primary
from c2c_db._server import PATIENCE, Server, ask_one, first_line
from c2c_db._settings import DbSettings

_LOG = logging.getLogger(__name__)
_SQL = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()::text END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text END,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float
"""
_REPLAYED = "SELECT pg_last_wal_replay_lsn()::text"
_REPLAY_LIMIT = 0.05
"""Seconds that a read waits for what its client wrote."""
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)
# Seconds without an answer and without the end of a call, after which reads that wait are freed.
_FREED_AFTER = 2.0
INTERVAL = 1.0
"""Seconds between two probes of a replica that answers."""
LONGEST_INTERVAL = 15.0
"""Seconds between two probes of one that does not; it grows to this from ``INTERVAL``, doubling."""
FRESH = 3.0
"""Seconds for which a probe's answer is knowledge."""
_REMEMBERED = 120


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw; positions as numbers, ``replayed_age`` in seconds since the last commit it replayed.

    Of a database that is not PostgreSQL nothing is known but that it answers: ``knows_wal`` is False.
    """

    in_recovery: bool = True
    receiver: bool = True
    received: int | None = None
    replayed: int | None = None
    replayed_age: float | None = None
    knows_wal: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    """A replica's state, its lag in seconds where known, and since when (monotonic seconds) and why it is so."""

    state: State
    lag: float | None
    since: float
    reason: str


class Tracker:
    """Follow one replica: feed it observations and failures, ask it for the state."""

    def __init__(self, max_lag: float | None, now: float) -> None:
        self._max_lag = max_lag
        self._history: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._known_at: float | None = None
        self._failures = 0
        self.probing_since: float | None = None
        self.replayed = 0
        self.awaited = 0
        self.status = Status(State.UNKNOWN, None, now, "not probed yet")

    def observed(self, seen: Observation, now: float) -> tuple[Status, Status]:
        """Take a probe's answer; return the status before and after."""
        self._failures = 0
        self._known_at = now
        self.probing_since = None
        if not seen.knows_wal:
            return self._become(State.USABLE, None, now, "it answers")
        if not seen.in_recovery:
            self._forget_positions()
            return self._become(State.NOT_A_REPLICA, None, now, "it is a primary: pg_is_in_recovery() is false")
        if seen.replayed is not None and seen.replayed < self.replayed:
            self._forget_positions()  # rebuilt from another backup
        lag = self._lag(seen, now)
        self.replayed = seen.replayed or 0
        if not seen.receiver:
            return self._become(State.LAGGING, lag, now, "its WAL receiver is not running")
        if self._max_lag is not None and (lag is None or lag > self._max_lag):
            return self._become(State.LAGGING, lag, now, f"further behind than {self._max_lag:g} s")
        return self._become(State.USABLE, lag, now, "it replays")

    def failed(self, reason: str, now: float) -> tuple[Status, Status]:
        """Take a failure, of a probe or of a request's connection; return the status before and after."""
        if self.status.state is not State.OFFLINE or self.probing_since is not None:
            self._failures += 1
        self._known_at = now
        self.probing_since = None
        self._forget_positions()
        return self._become(State.OFFLINE, None, now, reason)

    def interval(self) -> float:
        """Return how long to leave the replica alone now."""
        return float(min(INTERVAL * 2 ** max(self._failures - 1, 0), LONGEST_INTERVAL))

    def state(self, now: float) -> State:
        """Return the state as far as it is known now: old knowledge, or a probe without an answer, is none."""
        state = self.status.state
        if state is State.OFFLINE:
            return state
        if self.is_silent(now) or self._known_at is None or now - self._known_at > FRESH:
            return State.UNKNOWN
        return state

    def is_silent(self, now: float) -> bool:
        """Tell whether a probe waits for an answer for too long."""
        return self.probing_since is not None and now - self.probing_since > PATIENCE

    def _lag(self, seen: Observation, now: float) -> float | None:
        """Return by how many seconds it is behind: the lower of two upper bounds.

        The commit that it replayed last is so old; and all that it had received at an earlier probe, it has replayed.
        A replica that has replayed all it received is not behind, however long its primary has been idle.
        """
        if seen.received is None or seen.replayed is None:
            return seen.replayed_age
        if seen.replayed >= seen.received:
            self._history.append((now, seen.received))
            return 0.0
        caught_up = [at for at, received in self._history if received <= seen.replayed]
        self._history.append((now, seen.received))
        bounds = [now - caught_up[-1]] if caught_up else []
        if seen.replayed_age is not None:
            bounds.append(max(seen.replayed_age, 0.0))
        return min(bounds, default=None)

    def _become(self, state: State, lag: float | None, now: float, reason: str) -> tuple[Status, Status]:
        before = self.status
        since = before.since if before.state is state else now
        self.status = Status(state, lag, since, reason)
        return before, self.status

    def _forget_positions(self) -> None:
        self.replayed = self.awaited = 0
        self._history.clear()


class Replica(Server):
    """A replica as this process sees it.

    ``look`` is what a request does: it notes the traffic and returns the state. The server's thread, started by the
    first look, probes once an interval as long as somebody looks.
    """

    def __init__(self, database: str, opened: Opened, observers: Observers, settings: DbSettings) -> None:
        self._settings = settings
        super().__init__(database, opened, observers, _FREED_AFTER)
        self._knows_wal = self.engine.dialect.name == "postgresql" and settings.replica_kind == "streaming"

    def begin(self) -> None:
        """Begin: nothing is known, and no thread runs."""
        super().begin()
        self.tracker = Tracker(self._settings.max_lag, time.monotonic())
        self._traffic = False
        self._parked = True

    def look(self) -> State:
        """Return the state; where nothing is known, wait for the probe, ``PATIENCE`` seconds at most."""
        self._traffic = True
        if self._parked:
            self._parked = False
            self.ask_soon()
        state = self._state()
        if state is State.UNKNOWN and not self.tracker.is_silent(time.monotonic()):
            self.wait_for(lambda: self._state() is not State.UNKNOWN)
            state = self._state()
        return state

    def failed(self, reason: object) -> None:
        """Note that a request could not connect, or lost its connection: leave the replica alone for a while."""
        self._report(*self.tracker.failed(first_line(reason), time.monotonic()))

    @property
    def status(self) -> Status:
        """The state as of now, lag, since when, and why."""
        status, state = self.tracker.status, self._state()
        if state is status.state:
            return status
        reason = "it does not answer" if self.tracker.is_silent(time.monotonic()) else "not probed lately"
        return Status(state, None, status.since, reason)

    def _state(self) -> State:
        return self.tracker.state(time.monotonic())

    def look_at_it(self) -> Observation:
        """Ask for its role and positions; of what is no streaming replica only whether it answers."""
        self.tracker.probing_since = time.monotonic()
        if not self._knows_wal:
            if self.engine.dialect.name == "postgresql":
                self.probe("SELECT 1")
            else:
                with self.engine.connect():
                    pass
            return Observation(knows_wal=False)
        in_recovery, receiver, received, replayed, age = self.probe(_SQL)
        return Observation(
            in_recovery=in_recovery,
            receiver=receiver,
            received=parse_lsn(received) if received else None,
            replayed=parse_lsn(replayed) if replayed else None,
            replayed_age=age,
        )

    def answered(self, seen: Observation) -> None:
        """Take a probe's answer."""
        self._report(*self.tracker.observed(seen, time.monotonic()))
        self._tell()

    def unanswered(self, reason: str) -> None:
        """Take the lack of one."""
        self._report(*self.tracker.failed(reason, time.monotonic()))
        self._tell()

    def is_wanted(self) -> bool:
        """Tell whether somebody looked since the last probe; where nobody did, the thread sleeps until one does."""
        if not self._had_traffic():
            self._parked = True
            if not self._had_traffic():  # else: it came between the two lines
                self.silent_since = None
                return False
            self._parked = False
        self._traffic = False
        return True

    def pause(self) -> float | None:
        """Return for how long to leave it alone."""
        return self.tracker.interval()

    def _had_traffic(self) -> bool:
        return self._traffic

    def _tell(self) -> None:
        status = self.tracker.status
        self.observers.notify(Probed(self.database, self.name, status.state, status.lag))

    def _report(self, before: Status, after: Status) -> None:
        if before.state is after.state:
            return
        level = logging.INFO if after.state is State.USABLE else logging.WARNING
        lag = "" if after.lag is None else f", {after.lag:.1f} s behind"
        _LOG.log(level, "Replica %s: %s -> %s (%s%s)", self.name, before.state, after.state, after.reason, lag)
        if after.state is State.OFFLINE:
            self.engine.dispose()  # its idle connections are as dead as it is
        self.observers.notify(
            StateChanged(self.database, self.name, before.state, after.state, after.reason, after.lag)
        )

    def has_replayed(self, position: int) -> bool:
        """Tell whether a probe, or somebody who waited, has seen that it replayed this position."""
        return self.tracker.replayed >= position

    def wait_replayed(self, position: int, limit: float = _REPLAY_LIMIT) -> bool:
        """Wait until it has replayed a position; False when it has not in time.

        Where somebody waited in vain, nobody waits again until a probe has seen that position: a replica whose replay
        is paused costs its clients ``limit`` once, not each time.

        Raises:
            DBAPIError: It can't be asked; or the driver's error.
        """
        tracker = self.tracker
        if tracker.awaited > tracker.replayed:
            return self.has_replayed(position)
        deadline = time.monotonic() + limit
        with self.engine.connect() as connection, self.limited(connection) as raw:
            pauses = iter(_PAUSES)
            pause = _PAUSES[-1]
            while not self._ask_replayed(connection, raw, position):
                pause = next(pauses, pause)
                rest = deadline - time.monotonic()
                if rest <= 0:
                    tracker.awaited = position
                    return False
                time.sleep(min(pause, rest))
        return True

    def _ask_replayed(self, connection: Connection, raw: Any, position: int) -> bool:
        try:
            text = ask_one(raw, _REPLAYED)
        except self.engine.dialect.loaded_dbapi.Error as error:
            connection.invalidate(error)  # else the pool says at length that it is lost
            raise
        replayed = parse_lsn(text) if text else 0
        self.tracker.replayed = max(self.tracker.replayed, replayed)
        return replayed >= position


class Replicas:
    """The replicas of a database: balanced in turn."""

    def __init__(self, primary: Primary, replicas: Sequence[Replica], settings: DbSettings) -> None:
        self.all = tuple(replicas)
        self.by_engine = {replica.engine: replica for replica in replicas}
        self._primary = primary
        self._settings = settings
        self._turn = itertools.count()
        self._window = settings.window

    def choose(
        self, mark: Mark | None, tried: Collection[Engine] = (), failure: str | None = None
    ) -> tuple[Engine, str | None]:
        """Return the engine for a read, and why it is not simply the next replica (None where it is).

        ``mark`` is what the client wrote last; ``tried`` are engines that failed in this transaction, the last one
        with ``failure``.

        Raises:
            NoReplicaError: No replica is usable, and reads may not fall over to the primary.
        """
        reasons = [failure] if failure else []
        if mark is not None and mark.position is None and in_window(mark, time.time(), self._window):
            return self._primary.engine, "time window"
        usable: list[Replica] = []
        for replica in self._in_turn():
            if replica.engine in tried:
                continue
            state = replica.look()
            if state is not State.USABLE:
                reasons.append(f"replica {state}" if state is not State.NOT_A_REPLICA else str(state))
            elif self._has(replica, mark):
                return replica.engine, failure
            else:
                usable.append(replica)
        if usable:
            assert mark is not None
            assert mark.position is not None
            return self._having(mark.position, usable)
        if self._settings.replica_failover == "error":
            raise NoReplicaError(f"No replica is usable ({', '.join(reasons)}), and C2C_DB_REPLICA_FAILOVER is error")
        return self._primary.engine, reasons[0]

    def last_resort(self, mark: Mark | None, tried: Collection[Engine]) -> Engine | None:
        """Return a replica to read from while the primary is away: one whose only fault is that nobody feeds it."""
        for replica in self._in_turn():
            status = replica.status
            if replica.engine in tried or status.state is not State.LAGGING:
                continue
            limit = self._settings.max_lag
            near = limit is None or (status.lag is not None and status.lag <= limit)
            if near and self._has(replica, mark):
                return replica.engine
        return None

    def _has(self, replica: Replica, mark: Mark | None) -> bool:
        """Tell whether a replica has what a client wrote, as far as is known without asking it."""
        if mark is None:
            return True
        if mark.position is None:
            return not in_window(mark, time.time(), self._window)
        return replica.has_replayed(mark.position)

    def _in_turn(self) -> tuple[Replica, ...]:
        if len(self.all) <= 1:
            return self.all
        start = next(self._turn) % len(self.all)
        return self.all[start:] + self.all[:start]

    def _having(self, position: int, usable: Sequence[Replica]) -> tuple[Engine, str | None]:
        """Return the replica that has (or gets within the limit) this position, else the primary."""
        replica = usable[0]
        errors = self._errors_of(replica)
        try:
            if replica.wait_replayed(position):
                return replica.engine, None
        except errors as error:
            if failure_of(error) is not Failure.EXHAUSTED:
                replica.failed(error)
            return self._primary.engine, str(Failure.LOST)
        return self._primary.engine, "not yet replayed"

    @staticmethod
    def _errors_of(replica: Replica) -> tuple[type[Exception], ...]:
        driver: Any = replica.engine.dialect.dbapi
        return (DBAPIError, PoolTimeoutError, driver.Error)
