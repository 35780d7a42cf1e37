"""Choose where a read goes: a usable replica that has what its client wrote, else the primary."""

import itertools
import time
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from c2c_db._errors import NoReplicaError
from c2c_db._failures import Failure, failure_of
from c2c_db._marks import WINDOW, Mark, in_window
from c2c_db._primary import Primary
from c2c_db._replay import has_replayed, wait_replayed
from c2c_db._replica import Replica
from c2c_db._replica_state import State
from c2c_db._settings import DbSettings


class Replicas:
    """The replicas of a database: balanced in turn."""

    def __init__(self, primary: Primary, replicas: Sequence[Replica], settings: DbSettings) -> None:
        self.all = tuple(replicas)
        self.by_engine = {replica.engine: replica for replica in replicas}
        self._primary = primary
        self._settings = settings
        self._turn = itertools.count()
        every = settings.read_your_writes
        self._window = every if isinstance(every, float) else WINDOW

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
        return has_replayed(replica, mark.position)

    def _in_turn(self) -> tuple[Replica, ...]:
        if len(self.all) <= 1:
            return self.all
        start = next(self._turn) % len(self.all)
        return self.all[start:] + self.all[:start]

    def _having(self, position: int, usable: Sequence[Replica]) -> tuple[Engine, str | None]:
        """Return the replica that has (or gets within the limit) this position, else the primary."""
        if all(position > one.tracker.received for one in usable) and self._primary.is_future(position):
            return usable[0].engine, "future position"
        replica = usable[0]
        errors = self._errors_of(replica)
        try:
            if wait_replayed(replica, position):
                return replica.engine, None
        except errors as error:
            if failure_of(error) is not Failure.EXHAUSTED:
                replica.failed(str(error))
            return self._primary.engine, str(Failure.LOST)
        return self._primary.engine, "not yet replayed"

    @staticmethod
    def _errors_of(replica: Replica) -> tuple[type[Exception], ...]:
        driver: Any = replica.engine.dialect.dbapi
        return (DBAPIError, PoolTimeoutError, driver.Error)
