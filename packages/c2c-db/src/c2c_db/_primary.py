"""The primary: its WAL position, whether it takes writes, whether it hangs."""

import contextlib
import logging
import threading
import time
from typing import Any

from sqlalchemy import Connection, event

from c2c_db._engines import Opened
from c2c_db._failures import UnavailableError
from c2c_db._marks import parse_lsn
from c2c_db._observers import Observers, StateChanged
from c2c_db._server import HUNG, PATIENCE, Server, ask_one, first_line

_LOG = logging.getLogger(__name__)

# What is flushed contains the commit that has just returned; with synchronous_commit off only what is inserted does.
# (The inserted position is up to 200 ms ahead of what a replica can get, so it is not taken without need.)
_POSITION = """
SELECT CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
            ELSE pg_current_wal_flush_lsn() END::text
"""
_LOOK = "SELECT current_setting('transaction_read_only') = 'off'"
_HAS_WRITTEN = "SELECT txid_current_if_assigned() IS NOT NULL"
# Seconds that a call lasts before the server is asked whether it hangs, and between two such questions.
_DOUBT = 1.0
_DOUBT_INTERVAL = 2.0
# What passes from the moment when a call is in doubt until it is cut, beside the server's silence.
_MARGIN = 3.0
_LEAST_PATIENCE = 0.3

_AVAILABLE = "available"
_UNAVAILABLE = "unavailable"
_AWAY = "The database does not answer at the moment: try again"


class Primary(Server):
    """The primary as this process sees it.

    ``timeout`` is how long a request may wait for it while it hangs; None (a script) for ever.
    """

    def __init__(self, database: str, opened: Opened, observers: Observers, timeout: float | None) -> None:
        patience = float("inf") if timeout is None else max(timeout - _MARGIN, _LEAST_PATIENCE)
        super().__init__(database, opened, observers, patience)
        self.knows_wal = self.engine.dialect.name == "postgresql"
        self._said = False
        self._says_written: bool | None = None
        if self.knows_wal:
            event.listen(self.engine, "do_connect", self._connects)
            event.listen(self.engine, "checkout", lambda *_: self.refuse(), insert=True)  # before the ping
        event.listen(self.engine, "connect", lambda *_: self.connected())

    def begin(self) -> None:
        """Begin: it is taken to be there."""
        super().begin()
        self._answered_at = self._asked_at = float("-inf")
        self.available = True
        self._takes_connections = True
        self._connecting = threading.local()

    def _connects(self, _dialect: Any, record: Any, *_arguments: Any) -> None:
        if record is not None:  # the pool's; None is our own question, which finds out that it is back
            self.refuse()
            self._connecting.since = time.monotonic()

    def refuse(self) -> None:
        """Refuse to wait for it while it is known to hang.

        Raises:
            UnavailableError: It hangs.
        """
        if self.hangs:
            raise UnavailableError(_AWAY)

    @property
    def is_away(self) -> bool:
        """Whether it is known to be away, or to take no writes."""
        return not self.available or self.hangs

    def has_written(self, connection: Connection) -> bool:
        """Tell whether the transaction of a connection has written; where that can't be known, it has."""
        raw: Any = connection.connection.dbapi_connection
        if not self.knows_wal or raw.autocommit or self._says_written is False:
            return True
        try:
            with self.limited(connection):
                if self._says_written:
                    return bool(ask_one(raw, _HAS_WRITTEN))
                with contextlib.closing(raw.cursor()) as cursor:
                    cursor.execute("SAVEPOINT c2c_db")  # a server without this function must not end the transaction
                    self._says_written = False
                    try:
                        found = bool(ask_one(raw, _HAS_WRITTEN))
                    except self.engine.dialect.loaded_dbapi.Error:
                        cursor.execute("ROLLBACK TO SAVEPOINT c2c_db")
                        return True
                    self._says_written = True
                    return found
        except Exception:  # noqa: BLE001 # it is aborted, and writes nothing; or lost, and the commit will say so
            return False

    def position_after_commit(self, connection: Connection) -> int | None:
        """Return a WAL position that contains the commit which this connection has just made.

        One query, without a transaction. None where it can't be had: another database, no permission.
        """
        if not self.knows_wal:
            return None
        try:
            with self.limited(connection) as raw:
                before = raw.autocommit
                raw.autocommit = True  # of the driver: no BEGIN and no ROLLBACK round the query
                try:
                    position = parse_lsn(ask_one(raw, _POSITION))
                    if self.identity is None:
                        with contextlib.closing(raw.cursor()) as cursor:
                            self.identity = self.identify(cursor)
                finally:
                    with contextlib.suppress(self.engine.dialect.loaded_dbapi.Error):
                        raw.autocommit = before
        except Exception as error:  # noqa: BLE001 # it is committed: nothing that happens now may say otherwise
            if self.engine.dialect.is_disconnect(error, connection.connection, None):  # type: ignore[arg-type]
                connection.invalidate(error)  # else the pool says so at length
                return None
            if not self._said:
                self._said = True
                _LOG.warning(
                    "No WAL position from %s (%s): reads after writes stay on the primary for a while instead",
                    self.name,
                    first_line(error),
                )
            return None
        return position

    def ask(self) -> bool:
        """Ask it now; tell whether it answered within a second. Not asked where it is known to be away."""
        if not self.knows_wal or self.is_away:
            return False
        before = self._answered_at
        self.ask_soon()
        self.wait_for(lambda: self._answered_at > before)
        return self._answered_at > before

    def failed(self, reason: object, *, takes_connections: bool) -> None:
        """Note that it can't be reached or takes no writes: drop the pool, so that its hosts are tried again."""
        self.engine.dispose()
        self._takes_connections = takes_connections
        since = getattr(self._connecting, "since", None)
        if not takes_connections and since is not None and time.monotonic() - since > HUNG:
            # It took the whole limit for connecting: that it hangs is known now.
            self.silent_since = min(since, self.silent_since or since)
        if self.available:
            self.available = False
            said = first_line(reason)
            _LOG.warning("Primary %s: %s -> %s (%s)", self.name, _AVAILABLE, _UNAVAILABLE, said)
            self.observers.notify(StateChanged(self.database, self.name, _AVAILABLE, _UNAVAILABLE, said, None))
            if self.knows_wal:
                self.ask_soon()

    def connected(self) -> None:
        """Note that it took a connection: it is back, where that was what it lacked."""
        if not self._takes_connections:
            self.worked()

    def worked(self) -> None:
        """Note that it committed a write."""
        if not self.available:
            self.available = True
            _LOG.info("Primary %s: %s -> %s", self.name, _UNAVAILABLE, _AVAILABLE)
            self.observers.notify(StateChanged(self.database, self.name, _UNAVAILABLE, _AVAILABLE, "it answers", None))

    def tick(self, now: float) -> bool:
        """Look at who waits; where somebody waits for long, have the server asked whether it hangs."""
        waits = any(now - call.since > _DOUBT for call in tuple(self.calls.values()))
        if waits and self.silent_since is None and now - self._asked_at > _DOUBT_INTERVAL:
            self._asked_at = now
            self.ask_soon()
        return super().tick(now)

    def look_at_it(self) -> bool:
        """Ask whether it takes writes."""
        [takes_writes] = self.probe(_LOOK)
        return bool(takes_writes)

    def answered(self, seen: bool) -> None:
        """Take an answer."""
        self._answered_at = time.monotonic()
        if seen:
            self.worked()

    def unanswered(self, reason: str) -> None:
        """Take the lack of one: it can't be reached."""
        if self.hangs and self.available:
            self.failed(f"it does not answer ({reason})", takes_connections=False)

    def pause(self) -> float | None:
        """Ask on while it is away."""
        return PATIENCE if self.silent_since is not None or not self.available else None
