"""Replicas: what is known of each from probes and failures, and the choice of the one that a read goes to."""

import enum
import itertools
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Engine

from c2c_db._engines import Opened
from c2c_db._failures import OF_DATABASES, Failure, NoReplicaError, failure_of, sqlstate
from c2c_db._marks import Mark
from c2c_db._server import ASKED, Primary, Server, ask, first_line, lasts
from c2c_db._settings import DbSettings

_LOG = logging.getLogger(__name__)
_SQL = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver),
       CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_receive_lsn() - '0/0')::bigint END,
       CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float
"""
_REPLAYED = "SELECT coalesce(pg_last_wal_replay_lsn() - '0/0', 0)::bigint"
_REPLAY_LIMIT = 0.05
"""Seconds that a read waits for what its client wrote."""
_PAUSE = 0.005
# Seconds without an answer and without the end of a call, after which reads that wait are freed.
_FREED_AFTER = 2.0
# Seconds without an answer, after which the primary is asked whether it hangs, too.
_DOUBT = 0.5
INTERVAL = 1.0
"""Seconds between two probes of a replica that answers."""
LONGEST_INTERVAL = 15.0
"""Seconds between two probes of one that does not; it grows to this from ``INTERVAL``, doubling."""
FRESH = 3.0
"""Seconds for which a probe's answer is knowledge."""
_REMEMBERED = 120
_QUERY_CANCELED = "57014"
PRIMARY_AWAY = "primary away"
_BEHIND = "not yet replayed"


class State(enum.StrEnum):
    """What a replica is good for: only a usable one is read from."""

    UNKNOWN = "unknown"
    USABLE = "usable"
    LAGGING = "lagging"
    OFFLINE = "offline"
    NOT_A_REPLICA = "not a replica"


@dataclass(frozen=True, slots=True)
class Probed:
    """A replica was probed; ``lag`` in seconds, where known."""

    database: str
    engine: str
    state: State
    lag: float | None


class Observation(NamedTuple):
    """What a probe saw; positions as numbers, ``replayed_age`` in seconds since the last commit it replayed."""

    in_recovery: bool = True
    receiver: bool = True
    received: int | None = None
    replayed: int | None = None
    replayed_age: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The state of a replica: ``lag`` in seconds where known, ``since`` in seconds since 1970, and why it is so."""

    name: str
    state: State
    lag: float | None
    since: float
    reason: str


class Tracker:
    """Follow one replica: feed it observations and failures, ask it for the state. Times are monotonic seconds."""

    def __init__(self, max_lag: float | None, now: float) -> None:
        self._max_lag = max_lag
        self._history: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._known_at: float | None = None
        self._failures = 0
        self.replayed = 0
        self.awaited = 0
        self.known = State.UNKNOWN
        self.lag: float | None = None
        self.since = now
        self.reason = "not probed yet"

    def observed(self, seen: Observation | None, now: float) -> None:
        """Take a probe's answer; None is that of a database of which nothing is known but that it answers."""
        self._failures = 0
        if seen is None:
            self._become(State.USABLE, None, now, "it answers")
        elif not seen.in_recovery:
            self._forget_positions()
            self._become(State.NOT_A_REPLICA, None, now, "it is a primary: pg_is_in_recovery() is false")
        else:
            if seen.replayed is not None and seen.replayed < self.replayed:
                self._forget_positions()  # rebuilt from another backup
            lag = self._lag(seen, now)
            self.replayed = seen.replayed or 0
            if not seen.receiver:
                self._become(State.LAGGING, lag, now, "its WAL receiver is not running")
            elif self._max_lag is not None and (lag is None or lag > self._max_lag):
                self._become(State.LAGGING, lag, now, f"further behind than {self._max_lag:g} s")
            else:
                self._become(State.USABLE, lag, now, "it replays")

    def failed(self, reason: str, now: float, *, probed: bool = False) -> None:
        if self.known is not State.OFFLINE or probed:
            self._failures += 1
        self._forget_positions()
        self._become(State.OFFLINE, None, now, reason)

    def interval(self) -> float:
        return float(min(INTERVAL * 2 ** max(self._failures - 1, 0), LONGEST_INTERVAL))

    def state(self, now: float, *, is_silent: bool = False) -> State:
        """Return the state as far as it is known now: old knowledge, or a probe without an answer, is none."""
        if self.known is State.OFFLINE:
            return self.known
        is_old = self._known_at is None or now - self._known_at > FRESH
        return State.UNKNOWN if is_old or is_silent else self.known

    def _lag(self, seen: Observation, now: float) -> float | None:
        """Return by how many seconds it is behind: the lower of two upper bounds.

        The commit that it replayed last is so old; and all that it had received at an earlier probe, it has replayed.
        A replica that has replayed all it received is not behind, however long its primary has been idle.
        """
        if seen.received is None or seen.replayed is None:
            return seen.replayed_age
        bounds = [now - at for at, received in self._history if received <= seen.replayed][-1:]
        self._history.append((now, seen.received))
        if seen.replayed >= seen.received:
            return 0.0
        if seen.replayed_age is not None:
            bounds.append(max(seen.replayed_age, 0.0))
        return min(bounds, default=None)

    def _become(self, state: State, lag: float | None, now: float, reason: str) -> None:
        self._known_at = now
        if self.known is not state:
            self.since = now
        self.known, self.lag, self.reason = state, lag, reason

    def _forget_positions(self) -> None:
        self.replayed = self.awaited = 0
        self._history.clear()


class Replica(Server):
    """A replica as this process sees it.

    ``look`` is what a request does: it notes the traffic and returns the state. The server's thread, started by the
    first look, probes once an interval as long as somebody looks.
    """

    def __init__(self, primary: Primary, opened: Opened, timeout: float | None, settings: DbSettings) -> None:
        self._primary = primary
        self._settings = settings
        super().__init__(primary.database, opened, primary.notify, timeout, _FREED_AFTER)
        self._knows_wal = self.is_postgresql and settings.replica_kind == "streaming"

    def begin(self) -> None:
        super().begin()
        self.tracker = Tracker(self._settings.max_lag, time.monotonic())
        self._traffic = False
        self._parked = True

    def look(self) -> State:
        """Return the state; where nothing is known, wait for the probe, ``PATIENCE`` seconds at most."""
        self._traffic = True
        if self._parked:
            self._parked = False
            self.asker.wake()
        if self._state() is State.UNKNOWN and not self.is_silent:
            self.wait_for(lambda: self._state() is not State.UNKNOWN)
        return self._state()

    def failed(self, reason: object, *, probed: bool = False) -> None:
        """Note that a request could not connect, or lost its connection: leave the replica alone for a while."""
        before = self.tracker.known
        self.tracker.failed(first_line(reason), time.monotonic(), probed=probed)
        self._tell(before, probed=probed)

    def status(self) -> ReplicaStatus:
        state, lag, reason = self._state(), self.tracker.lag, self.tracker.reason
        if state is not self.tracker.known:
            lag, reason = None, "it does not answer" if self.is_silent else "not probed lately"
        return ReplicaStatus(self.name, state, lag, time.time() - time.monotonic() + self.tracker.since, reason)

    def _state(self) -> State:
        return self.tracker.state(time.monotonic(), is_silent=self.is_silent)

    def look_at_it(self) -> None:
        """Ask for its role and positions; of what is no streaming replica only whether it answers."""
        seen = None
        if self._knows_wal:
            seen = Observation(*self.probe(_SQL))
        elif self.is_postgresql:
            self.probe("SELECT 1")
        else:
            with self.engine.connect():
                pass
        before = self.tracker.known
        self.tracker.observed(seen, time.monotonic())
        self._tell(before, probed=True)

    def unanswered(self, error: Exception) -> None:
        """Take the lack of an answer. One that took too long is an answer, of a server that has much to do."""
        if sqlstate(error) != _QUERY_CANCELED:  # else what was known holds as long as it is fresh
            self.failed(error, probed=True)

    def ask_now(self) -> float | None:
        """Ask it, where somebody looked since it was asked, or waits in vain; else the thread sleeps until one does."""
        waits = self.silent_since is not None and bool(self.records)
        self._parked = not (self._traffic or waits)
        if self._parked and not self._traffic:  # looked at again: somebody may have come between the two lines
            self.silent_since = None
            return None
        self._parked = self._traffic = False
        return super().ask_now()

    def watch(self, records: tuple[Any, ...], now: float) -> None:
        """Where it seems to hang, have the primary asked, too: who waits for the one is not to wait for both."""
        silent = self.silent_since
        if (silent is not None and now - silent > _DOUBT) or any(lasts(one, ASKED, now, _DOUBT) for one in records):
            self._primary.doubt(now)

    def pause(self) -> float:
        return self.tracker.interval()

    def _tell(self, before: State, *, probed: bool) -> None:
        after, lag, reason = self.tracker.known, self.tracker.lag, self.tracker.reason
        if before is not after:
            level = logging.INFO if after is State.USABLE else logging.WARNING
            behind = "" if lag is None else f", {lag:.1f} s behind"
            _LOG.log(level, "Replica %s: %s -> %s (%s%s)", self.name, before, after, reason, behind)
            if after is State.OFFLINE:
                self.engine.dispose()  # its idle connections are as dead as it is
            self.changed(before, after, reason, lag)
        if probed:
            self.notify(Probed(self.database, self.name, after, lag))

    def has(self, mark: Mark | None) -> bool:
        """Tell whether it has what a client wrote, as far as is known without asking it."""
        return mark is None or (mark.position is not None and self.tracker.replayed >= mark.position)

    def wait_replayed(self, position: int, limit: float = _REPLAY_LIMIT) -> str | None:
        """Wait until it has replayed a position; return why it is not known to have, None where it has.

        Where somebody waited in vain, nobody waits again until a probe has seen that position: a replica whose replay
        is paused costs its clients ``limit`` once, not each time.
        """
        tracker = self.tracker
        if tracker.awaited > tracker.replayed:
            return _BEHIND
        deadline = time.monotonic() + limit
        driver_error = self.engine.dialect.loaded_dbapi.Error
        try:
            with self.engine.connect() as connection, self.beside(connection) as raw:
                while True:
                    try:
                        [replayed] = ask(raw, _REPLAYED)
                    except driver_error as error:
                        connection.invalidate(error)  # else the pool says at length that it is lost
                        raise
                    tracker.replayed = max(tracker.replayed, replayed)
                    if replayed >= position or time.monotonic() >= deadline:
                        break
                    time.sleep(_PAUSE)
        except (*OF_DATABASES, driver_error) as error:
            if failure_of(error) is not Failure.EXHAUSTED:
                self.failed(error)
            return str(Failure.LOST)
        if replayed >= position:
            return None
        tracker.awaited = position
        return _BEHIND


class Replicas:
    """The replicas of a database: balanced in turn."""

    def __init__(self, primary: Primary, replicas: Sequence[Replica], settings: DbSettings) -> None:
        self.all = tuple(replicas)
        self._primary = primary
        self._settings = settings
        self._turn = itertools.count()

    def choose(
        self, mark: Mark | None, tried: Collection[Engine] = (), failure: str | None = None
    ) -> tuple[Server, str | None]:
        """Return the server for a read, and why it is not simply the next replica (None where it is).

        ``mark`` is what the client wrote last; ``tried`` are engines that failed in this transaction, the last one
        with ``failure``. Raises NoReplicaError where none is usable and reads may not fall over to the primary.
        """
        server, reason = self._choose(mark, tried, failure)
        if server is self._primary and self._primary.is_away:
            # Not each read waits for it. Writes go on to try one that refuses connections.
            other = self.last_resort(mark, tried)
            if other is not None:
                return other, PRIMARY_AWAY
        return server, reason

    def _choose(self, mark: Mark | None, tried: Collection[Engine], failure: str | None) -> tuple[Server, str | None]:
        if mark is not None and mark.position is None:
            return self._primary, "time window"
        reasons = [failure] if failure else []
        behind: Replica | None = None
        for replica in self._in_turn(tried):
            state = replica.look()
            if state is not State.USABLE:
                reasons.append(f"replica {state}" if state is not State.NOT_A_REPLICA else str(state))
            elif replica.has(mark):
                return replica, failure
            else:
                behind = behind or replica
        if behind is not None and mark is not None and mark.position is not None:
            reason = behind.wait_replayed(mark.position)
            return (behind if reason is None else self._primary), reason
        if self._settings.replica_failover == "error":
            raise NoReplicaError(f"No replica is usable ({', '.join(reasons)}), and C2C_DB_REPLICA_FAILOVER is error")
        return self._primary, reasons[0]

    def last_resort(self, mark: Mark | None, tried: Collection[Engine]) -> Replica | None:
        """Return a replica to read from while the primary is away: one whose only fault is that nobody feeds it."""
        limit = self._settings.max_lag
        for replica in self._in_turn(tried):
            status = replica.status()
            near = limit is None or (status.lag is not None and status.lag <= limit)
            if status.state is State.LAGGING and near and replica.has(mark):
                return replica
        return None

    def _in_turn(self, tried: Collection[Engine]) -> list[Replica]:
        start = next(self._turn) % len(self.all) if len(self.all) > 1 else 0
        return [one for one in self.all[start:] + self.all[:start] if one.engine not in tried]
