"""The state of a replica, from what probes and requests saw of it: pure, the clock is an argument."""

import enum
from collections import deque
from dataclasses import dataclass

INTERVAL = 1.0
"""Seconds between two probes of a replica that answers."""
LONGEST_INTERVAL = 15.0
"""Seconds between two probes of one that does not; it grows to this from ``INTERVAL``, doubling."""
FRESH = 3.0
"""Seconds for which a probe's answer is knowledge."""
PATIENCE = 1.0
"""Seconds that a probe may take before its replica counts as one that does not answer."""
_REMEMBERED = 120


class State(enum.StrEnum):
    """What a replica is good for: only a usable one is read from."""

    UNKNOWN = "unknown"
    USABLE = "usable"
    LAGGING = "lagging"
    OFFLINE = "offline"
    NOT_A_REPLICA = "not a replica"


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
        self.received = 0
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
        self.received = max(seen.received or 0, self.replayed)
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
        self.replayed = self.received = self.awaited = 0
        self._history.clear()
