"""Wait until a replica has replayed a WAL position, for a moment."""

import time
from typing import Any

from c2c_db._lsn import parse_lsn
from c2c_db._replica import Replica

LIMIT = 0.05
"""Seconds that a read waits for what its client wrote."""
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)
_SQL = "SELECT pg_last_wal_replay_lsn()::text"


def has_replayed(replica: Replica, position: int) -> bool:
    """Tell whether a probe, or somebody who waited, has seen that the replica replayed this position."""
    return replica.tracker.replayed >= position


def wait_replayed(replica: Replica, position: int, limit: float = LIMIT) -> bool:
    """Wait until the replica has replayed a position; False when it has not in time.

    Where somebody waited in vain, nobody waits again until a probe has seen that position: a replica whose replay is
    paused costs its clients ``limit`` once, not each time.

    Raises:
        DBAPIError: The replica can't be asked.
    """
    tracker = replica.tracker
    if tracker.awaited > tracker.replayed:
        return has_replayed(replica, position)
    deadline = time.monotonic() + limit
    with replica.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        pauses = iter(_PAUSES)
        pause = _PAUSES[-1]
        while not _ask(replica, raw, position):
            pause = next(pauses, pause)
            rest = deadline - time.monotonic()
            if rest <= 0:
                tracker.awaited = position
                return False
            time.sleep(min(pause, rest))
    return True


def _ask(replica: Replica, raw: Any, position: int) -> bool:
    cursor = raw.cursor()  # beside SQLAlchemy: this is no statement of the application's
    try:
        cursor.execute(_SQL)
        [text] = cursor.fetchone()
    finally:
        cursor.close()
    replayed = parse_lsn(text) if text else 0
    replica.tracker.replayed = max(replica.tracker.replayed, replayed)
    return replayed >= position
