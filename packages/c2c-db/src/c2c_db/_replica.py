"""Replicas: their settings, what probes and failures tell of each, and the choice of the one that a read goes to."""

import contextlib
import enum
import itertools
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Engine

from c2c_broadcast import ConfigurationError, setting
from c2c_broadcast.command import one_line
from c2c_db._engines import Opened
from c2c_db._failures import OF_DATABASES, Failure, NoReplicaError, failure_of, sqlstate
from c2c_db._marks import Mark
from c2c_db._server import ASKED, Primary, Server, ask, lasts

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


def _parse_read_your_writes(raw: object) -> str | float:
    value = str(raw).lower()
    if value in {"lsn", "off"}:
        return value
    with contextlib.suppress(ValueError):
        if 0 < float(value) < float("inf"):
            return float(value)
    raise ValueError("use lsn, off, or a number of seconds, more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DbSettings:
    """How replicas are used; the databases themselves come from ``setup_session`` or ``add_database``.

    Raises:
        ConfigurationError: ``max_lag`` for replicas that are not asked for it.
    """

    replica_failover: Literal["primary", "error"] = setting(
        "primary",
        env="C2C_DB_REPLICA_FAILOVER",
        key="c2c.db.replica_failover",
        help="what a read does when no replica is usable: primary or error",
    )
    max_lag: float | None = setting(
        None,
        env="C2C_DB_MAX_LAG",
        key="c2c.db.max_lag",
        minimum=0,
        help="seconds; a replica further behind is not used",
    )
    replica_kind: Literal["streaming", "any"] = setting(
        "streaming",
        env="C2C_DB_REPLICA_KIND",
        key="c2c.db.replica_kind",
        help="what a replica is: streaming (in recovery, with positions), or any (logical, a copy, a read pool)",
    )
    primary_timeout: float = setting(
        5.0,
        env="C2C_DB_PRIMARY_TIMEOUT",
        key="c2c.db.primary_timeout",
        minimum=2,
        help="seconds that a request waits for a primary that hangs, not for a statement that takes long",
    )
    read_your_writes: str | float = setting(
        "lsn",
        env="C2C_DB_READ_YOUR_WRITES",
        key="c2c.db.read_your_writes",
        parse=_parse_read_your_writes,
        help="lsn, a number of seconds, or off",
    )
    enforce_readonly: bool = setting(
        default=True,
        env="C2C_DB_ENFORCE_READONLY",
        key="c2c.db.enforce_readonly",
        help="sessions on the replica side are READ ONLY in the database",
    )
    maintenance_view_enabled: bool = setting(
        default=False,
        env="C2C_DB_MAINTENANCE_VIEW_ENABLED",
        key="c2c.db_maintenance_view_enabled",
        help="adds the view that switches maintenance mode",
    )

    def __post_init__(self) -> None:
        if self.replica_kind == "any" and self.max_lag is not None:
            raise ConfigurationError(
                "c2c.db.max_lag (C2C_DB_MAX_LAG) needs replicas that say how far they are: take it out, "
                "or set c2c.db.replica_kind (C2C_DB_REPLICA_KIND) to streaming"
            )


class State(enum.StrEnum):
    """What a replica is good for: only a usable one is read from."""

    UNKNOWN = "unknown"
    USABLE = "usable"
    LAGGING = "lagging"
    OFFLINE = "offline"
    NOT_A_REPLICA = "not a replica"


class Observation(NamedTuple):
    """What a probe saw; positions as numbers, ``replayed_age`` in seconds since the last commit it replayed."""

    in_recovery: bool = True
    receiver: bool = True
    received: int | None = None
    replayed: int | None = None
    replayed_age: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The state of a replica, told with each probe: ``lag`` in seconds where known, ``since`` in seconds since 1970."""

    engine: str
    state: State
    lag: float | None
    since: float
    reason: str


class Replica(Server):
    """A replica as this process sees it. Times are monotonic seconds.

    ``look`` is what a request does: it notes the traffic and returns the state. The server's thread, started by the
    first look, probes once an interval as long as somebody looks.
    """

    def __init__(self, primary: Primary, opened: Opened, timeout: float | None, settings: DbSettings) -> None:
        self._primary = primary
        self._settings = settings
        super().__init__(opened, primary.notify, timeout, _FREED_AFTER)
        self._knows_wal = self.is_postgresql and settings.replica_kind == "streaming"

    def begin(self) -> None:
        super().begin()
        self._traffic = False
        self._parked = True
        self._known, self._reason = State.UNKNOWN, "not probed yet"
        self._lag: float | None = None
        self._since = time.monotonic()
        self._known_at = float("-inf")
        self._failures = 0
        self._history: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self.replayed = 0
        self._awaited = 0

    @property
    def state(self) -> State:
        """The state as far as it is known now: old knowledge, or a probe without an answer, is none."""
        is_known = time.monotonic() - self._known_at <= FRESH and not self.is_silent
        return self._known if is_known or self._known is State.OFFLINE else State.UNKNOWN

    @property
    def status(self) -> ReplicaStatus:
        state, lag, reason = self.state, self._lag, self._reason
        if state is not self._known:
            lag, reason = None, "it does not answer" if self.is_silent else "not probed lately"
        return ReplicaStatus(self.name, state, lag, time.time() - time.monotonic() + self._since, reason)

    def look(self) -> State:
        """Return the state; where nothing is known, wait for the probe, ``PATIENCE`` seconds at most."""
        self._traffic = True
        if self._parked:
            self._parked = False
            if not self.asker.wake():  # the system has no thread to give: the next one tries again
                self._parked = True
                return self.state
        if self.state is State.UNKNOWN and not self.is_silent:
            self.wait_for(lambda: self.state is not State.UNKNOWN)
        return self.state

    def ask_now(self) -> float | None:
        """Ask it, where somebody looked since it was asked, or waits in vain; else the thread sleeps until one does."""
        waits = self.silent_since is not None and bool(self.records)
        self._parked = not (self._traffic or waits)
        if self._parked and not self._traffic:  # looked at again: somebody may have come between the two lines
            self.silent_since = None
            return None
        self._parked = self._traffic = False
        super().ask_now()
        return float(min(INTERVAL * 2 ** max(self._failures - 1, 0), LONGEST_INTERVAL))

    def look_at_it(self) -> None:
        """Ask for its role and positions; of what is no streaming replica only whether it answers."""
        if self._knows_wal:
            self.observed(Observation(*self.probe(_SQL)))
            return
        if self.is_postgresql:
            self.probe("SELECT 1")
        else:
            with self.engine.connect():
                pass
        self._failures = 0
        self._become(State.USABLE, None, "it answers")

    def observed(self, seen: Observation) -> None:
        """Take a probe's answer."""
        self._failures = 0
        if not seen.in_recovery:
            self._forget_positions()
            self._become(State.NOT_A_REPLICA, None, "it is a primary: pg_is_in_recovery() is false")
            return
        if seen.replayed is not None and seen.replayed < self.replayed:
            self._forget_positions()  # rebuilt from another backup
        lag, max_lag = self._lag_of(seen), self._settings.max_lag
        self.replayed = seen.replayed or 0
        if not seen.receiver:
            self._become(State.LAGGING, lag, "its WAL receiver is not running")
        elif max_lag is not None and (lag is None or lag > max_lag):
            self._become(State.LAGGING, lag, f"further behind than {max_lag:g} s")
        else:
            self._become(State.USABLE, lag, "it replays")

    def _lag_of(self, seen: Observation) -> float | None:
        """Return by how many seconds it is behind: the lower of two upper bounds.

        The commit that it replayed last is so old; and all that it had received at an earlier probe, it has replayed.
        A replica that has replayed all it received is not behind, however long its primary has been idle.
        """
        if seen.received is None or seen.replayed is None:
            return seen.replayed_age
        now = time.monotonic()
        bounds = [now - at for at, received in self._history if received <= seen.replayed][-1:]
        self._history.append((now, seen.received))
        if seen.replayed >= seen.received:
            return 0.0
        if seen.replayed_age is not None:
            bounds.append(max(seen.replayed_age, 0.0))
        return min(bounds, default=None)

    def unanswered(self, error: Exception) -> None:
        """Take the lack of an answer. One that took too long is an answer, of a server that has much to do."""
        if sqlstate(error) != _QUERY_CANCELED:  # else what was known holds as long as it is fresh
            self.failed(error, probed=True)

    def failed(self, reason: object, *, probed: bool = False) -> None:
        """Leave it alone for a while; what many requests see at a time is one failure."""
        if self._known is not State.OFFLINE or probed:
            self._failures += 1
        self._forget_positions()
        self._become(State.OFFLINE, None, one_line(reason), probed=probed)

    def _become(self, state: State, lag: float | None, reason: str, *, probed: bool = True) -> None:
        before, self._known_at = self._known, time.monotonic()
        self._known, self._lag, self._reason = state, lag, reason
        if before is not state:
            self._since = self._known_at
            if state is State.OFFLINE:
                self.engine.dispose()  # its idle connections are as dead as it is
            self.changed(before, state, reason, lag)
        if probed:
            self.notify(self.status)

    def _forget_positions(self) -> None:
        self.replayed = self._awaited = 0
        self._history.clear()

    def watch(self, records: tuple[Any, ...], now: float) -> None:
        """Where it seems to hang, have the primary asked, too: who waits for the one is not to wait for both."""
        silent = self.silent_since
        if (silent is not None and now - silent > _DOUBT) or any(lasts(one, ASKED, now, _DOUBT) for one in records):
            self._primary.doubt(now)

    def has(self, mark: Mark | None) -> bool:
        """Tell whether it has what a client wrote, as far as is known without asking it."""
        return mark is None or (mark.position is not None and self.replayed >= mark.position)

    def wait_replayed(self, position: int) -> str | None:
        """Wait until it has replayed a position; return why it is not known to have, None where it has.

        Where somebody waited in vain, nobody waits again until a probe has seen that position: a replica whose replay
        is paused costs its clients that time once.
        """
        if self._awaited > self.replayed:
            return _BEHIND
        deadline = time.monotonic() + _REPLAY_LIMIT
        driver_error = self.engine.dialect.loaded_dbapi.Error
        try:
            with self.engine.connect() as connection, self.beside(connection) as raw:
                while True:
                    try:
                        [replayed] = ask(raw, _REPLAYED)
                    except driver_error as error:
                        connection.invalidate(error)  # else the pool says at length that it is lost
                        raise
                    self.replayed = max(self.replayed, replayed)
                    if replayed >= position:
                        return None
                    if time.monotonic() >= deadline:
                        self._awaited = position
                        return _BEHIND
                    time.sleep(_PAUSE)
        except (*OF_DATABASES, driver_error) as error:
            if failure_of(error) is not Failure.EXHAUSTED:
                self.failed(getattr(error, "orig", error))
            return str(Failure.LOST)


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
        # Not each read waits for a primary that is away. Writes go on to try one that refuses connections.
        if server is self._primary and self._primary.is_away and (other := self.last_resort(mark, tried)) is not None:
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
            status = replica.status
            near = limit is None or (status.lag is not None and status.lag <= limit)
            if status.state is State.LAGGING and near and replica.has(mark):
                return replica
        return None

    def _in_turn(self, tried: Collection[Engine]) -> list[Replica]:
        start = next(self._turn) % len(self.all) if len(self.all) > 1 else 0
        return [one for one in self.all[start:] + self.all[:start] if one.engine not in tried]
