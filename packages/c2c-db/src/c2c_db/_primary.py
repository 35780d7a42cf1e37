"""The primary: its engine, its WAL position, and whether it takes writes."""

import logging
import threading
import time
from typing import Any

from sqlalchemy import Engine

from c2c_broadcast import mask
from c2c_db._engines import engine_name
from c2c_db._forks import after_fork
from c2c_db._idle_connections import ping_idle
from c2c_db._lsn import parse_lsn
from c2c_db._observers import Observers, StateChanged

_LOG = logging.getLogger(__name__)

# What is flushed contains the commit that has just returned; with synchronous_commit off only what is inserted does.
# (The inserted position is up to 200 ms ahead of what a replica can get, so it is not taken without need.)
_POSITION = """
SELECT CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
            ELSE pg_current_wal_flush_lsn() END::text
"""
_ASK_INTERVAL = 1.0

_AVAILABLE = "available"
_UNAVAILABLE = "unavailable"


class Primary:
    """The primary as this process sees it."""

    def __init__(self, database: str, engine: Engine, observers: Observers) -> None:
        self.database = database
        self.engine = engine
        self.name = engine_name(engine)
        self._observers = observers
        self._knows_wal = engine.dialect.name == "postgresql"
        self._said = False
        ping_idle(engine)
        self._renew()
        after_fork(self, Primary._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._known = 0
        self._asked_at = float("-inf")
        self.available = True
        self._takes_connections = True

    def position_after_commit(self, raw: Any) -> int | None:
        """Return a WAL position that contains the commit which this DBAPI connection has just made.

        One query, without a transaction. None where it can't be had: another database, no permission.
        """
        if not self._knows_wal:
            return None
        try:
            raw.autocommit = True  # of the driver: no BEGIN and no ROLLBACK round the query
            try:
                position = _ask(raw)
            finally:
                raw.autocommit = False
        except Exception as error:  # noqa: BLE001 # it is committed: nothing that happens now may say otherwise
            if not self._said:
                self._said = True
                _LOG.warning(
                    "No WAL position from %s (%s): reads after writes stay on the primary for a while instead",
                    self.name,
                    mask(str(error).strip().partition("\n")[0]),
                )
            return None
        self._known = max(self._known, position)
        return position

    def is_future(self, position: int) -> bool:
        """Tell whether the primary has not come to this position yet; it is asked once a second at most."""
        now = time.monotonic()
        with self._lock:
            if position <= self._known or now - self._asked_at < _ASK_INTERVAL:
                return False
            self._asked_at = now
        try:
            with self.engine.connect() as connection:
                position_now = _ask(connection.connection.dbapi_connection)
        except Exception:  # noqa: BLE001 # then nobody knows, and the position counts
            return False
        self._known = max(self._known, position_now)
        return position > position_now

    def failed(self, reason: str, *, takes_connections: bool) -> None:
        """Note that it can't be reached or takes no writes: drop the pool, so that its hosts are tried again."""
        self.engine.dispose()
        self._takes_connections = takes_connections
        if self.available:
            self.available = False
            reason = mask(reason.strip().partition("\n")[0])
            _LOG.error("Primary %s: %s -> %s (%s)", self.name, _AVAILABLE, _UNAVAILABLE, reason)
            self._observers.notify(StateChanged(self.database, self.name, _AVAILABLE, _UNAVAILABLE, reason, None))

    def connected(self) -> None:
        """Note that it took a connection: it is back, where that was what it lacked."""
        if not self._takes_connections:
            self.worked()

    def worked(self) -> None:
        """Note that it committed a write."""
        if not self.available:
            self.available = True
            _LOG.info("Primary %s: %s -> %s", self.name, _UNAVAILABLE, _AVAILABLE)
            self._observers.notify(StateChanged(self.database, self.name, _UNAVAILABLE, _AVAILABLE, "it answers", None))


def _ask(raw: Any) -> int:
    cursor = raw.cursor()  # beside SQLAlchemy: this is no statement of the application's
    try:
        cursor.execute(_POSITION)
        return parse_lsn(cursor.fetchone()[0])
    finally:
        cursor.close()
