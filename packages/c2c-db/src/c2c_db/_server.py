"""A server as this process sees it, and the primary: who waits for it, whether it answers, an end of waiting.

Two threads a server, started by use and idle without it: one asks it (by connections of its own, beside pools and
metrics), one looks every quarter of a second at who waits, and cuts what waits for a server that hangs.
"""

import abc
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import InvalidatePoolError

from c2c_broadcast.command import one_line
from c2c_broadcast.process import Worker, at_fork
from c2c_broadcast.settings import warn_once
from c2c_db._engines import LEAST_CONNECT_LIMIT, Opened, is_libpq
from c2c_db._failures import UnavailableError, sqlstate

PATIENCE = 1.0
"""Seconds that a server may take for an answer to us before it counts as one that does not answer."""
HUNG = 0.9
"""Seconds that a failure took when its server is taken to hang, not to refuse."""
_TICK = 0.25
_LINGER = 3.0  # seconds for which the watch goes on without a call, so that it is not woken by each
_STATEMENT_LIMIT_MS = 100
# Of a connection that somebody has (monotonic seconds): since when, since when it commits, and is asked by us; of one
# in the pool, since when it lies there.
_USED, COMMITS, ASKED, _IDLE = "c2c_db.used", "c2c_db.commits", "c2c_db.asked", "c2c_db.idle"
_IDENTITY = "SELECT system_identifier::text FROM pg_control_system()"
# What is flushed contains the commit that has just returned; with synchronous_commit off only what is inserted does.
# (The inserted position is up to 200 ms ahead of what a replica can get, so it is not taken without need.)
_POSITION = """
SELECT (CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
             ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint
"""
_TAKES_WRITES = "SELECT current_setting('transaction_read_only') = 'off'"
# A commit that needs the disk, as the application's do, and changes nothing: where the disk hangs, so does this.
_COMMIT = "SELECT pg_logical_emit_message(true, 'c2c_db', '')"
# Seconds: it is waited for, not asked again and again, as each time leaves a backend that waits for the disk.
_COMMIT_LIMIT = 30.0
_HAS_WRITTEN = "SELECT txid_current_if_assigned() IS NOT NULL"
# Parts of the limit for a request: until a call that lasts is a reason to ask, until silence counts, for connecting.
_DOUBT, _SILENCE, _CONNECTING = 0.2, 0.4, 0.8
_DOUBT_INTERVAL = 2.0  # seconds between two questions whether it hangs
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StateChanged:
    """An engine's server changed its state; ``lag`` in seconds, where known."""

    engine: str
    before: str
    after: str
    reason: str
    lag: float | None


class Server(abc.ABC):
    """A server, the calls that wait for it, and the threads that ask it and watch them.

    ``timeout`` is how long a request may wait for it while it hangs; None (a script) for ever.
    ``hangs`` is true when it was asked, has said nothing for ``patience`` seconds, and has ended no call meanwhile.
    """

    def __init__(self, opened: Opened, notify: Callable[[Any], None], timeout: float | None, patience: float) -> None:
        self.engine, self._arguments, self._trusted = opened
        self.name = str(self.engine.logging_name)
        self.notify = notify
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self.identity: str | None = None
        self._limit = float("inf") if timeout is None else timeout
        self._patience = patience
        self.asker = Worker(f"c2c_db probe {self.name}", self.ask_now)
        self._watch = Worker(f"c2c_db watch {self.name}", self._look)
        if self.is_postgresql:
            event.listen(self.engine, "checkout", self._checkout)
            event.listen(self.engine, "checkin", self._checkin)
            event.listen(self.engine, "engine_disposed", self._disposed)
            if timeout is not None:
                event.listen(self.engine, "do_connect", self._connects)
        self.begin()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew, in the child; the parent's connections stay the parent's."""
        self.engine.dispose(close=False)
        self.begin()

    def begin(self) -> None:
        self.records: dict[int, Any] = {}
        self.silent_since: float | None = None
        # Whether it answers, but to a commit, as its disk hangs: that somebody's read ends says nothing then.
        self.disk_is_asked = False
        self.alive_at = self._noticed_at = self._disposed_at = float("-inf")
        self._answered = threading.Condition()

    @property
    def is_silent(self) -> bool:
        since = self.silent_since
        return since is not None and time.monotonic() - since > PATIENCE

    @property
    def hangs(self) -> bool:
        since = self.silent_since
        return since is not None and time.monotonic() - max(since, self.alive_at) > self._patience

    def wait_for(self, done: Any) -> None:
        with self._answered:
            self._answered.wait_for(done, PATIENCE)

    def close(self) -> None:
        self.asker.close(0)
        self._watch.close(0)
        self.engine.dispose()

    @contextlib.contextmanager
    def limited(self, connection: Connection) -> Iterator[Any]:
        """Give the driver's connection for a question of our own: one that takes more than a second is cut."""
        info = connection.info
        info[ASKED] = time.monotonic()
        try:
            yield connection.connection.dbapi_connection
        finally:
            info.pop(ASKED, None)

    @contextlib.contextmanager
    def beside(self, connection: Connection) -> Iterator[Any]:
        """Give it as ``limited`` does, in no transaction: the pool has none to roll back, and no failure to tell of."""
        with self.limited(connection) as raw:
            before, raw.autocommit = raw.autocommit, True
            try:
                yield raw
            finally:
                with contextlib.suppress(self.engine.dialect.loaded_dbapi.Error):
                    raw.autocommit = before

    def probe(self, sql: str, limit: float = PATIENCE) -> tuple[Any, ...]:
        """Return the row that a question brings, by a connection of its own, within about 2 s and ``limit``."""
        name = "connect_timeout" if is_libpq(self.engine.url) else "timeout"
        raw = self.connect(None, {"application_name": "c2c_db probe", **self._arguments, name: LEAST_CONNECT_LIMIT})
        timer = threading.Timer(limit, cut, (raw,))
        timer.daemon = True
        try:
            timer.start()  # the server's own limit needs a live server
            # In a transaction: behind a pooler (pgbouncer) what a session sets is the next client's.
            row = ask(raw, f"SET LOCAL statement_timeout = {_STATEMENT_LIMIT_MS}", sql)
            raw.commit()  # which is what is asked for, where the disk is in doubt
            self.identify(raw)
            raw.rollback()
        finally:
            timer.cancel()
            raw.close()
        return row

    def connect(self, record: Any, arguments: dict[str, Any], skipped: Any = None) -> Any:
        """Connect as the pool does: a listener may bring the password of the hour (a cloud's token)."""
        dialect = self.engine.dialect
        positional, named = dialect.create_connect_args(self.engine.url)
        positional, named = list(positional), {**named, **arguments}
        for listener in dialect.dispatch.do_connect:
            connection = None if listener == skipped else listener(dialect, record, positional, named)
            if connection is not None:
                return connection
        return dialect.connect(*positional, **named)

    def _connects(self, _dialect: Any, record: Any, _positional: Any, named: dict[str, Any]) -> Any:
        """Connect for the pool, in a thread: names that nobody resolves and several hosts have no limit in common."""
        if record is None:  # our own question, which finds out that it is back
            return None
        self.refuse()
        started = time.monotonic()
        connecting: Future[Any] = Future()

        def connect() -> None:
            try:
                connecting.set_result(self.connect(record, named, self._connects))
            except BaseException as error:  # noqa: BLE001 # whatever it is, it is raised where it is waited for
                connecting.set_exception(error)

        try:
            threading.Thread(target=connect, name=f"c2c_db connect {self.name}", daemon=True).start()
        except RuntimeError:  # the system has no thread to give: as without us
            connect()
        while not connecting.done() and not self.hangs and time.monotonic() - started < self._limit * _CONNECTING:
            wait((connecting,), _TICK)
        try:
            return connecting.result(0)
        except Exception as error:
            if time.monotonic() - started > HUNG:
                # It took the whole limit for connecting: that it hangs is known now.
                self.silent_since = min(started, self.silent_since or started)
                self.asker.wake()
            # It may still come, or have come just now: nobody takes it.
            connecting.add_done_callback(lambda late: late.exception() or late.result().close())
            if not isinstance(error, OSError):  # which pg8000 raises as it comes
                raise
            raise self.engine.dialect.loaded_dbapi.OperationalError(f"no connection ({error!r})") from error

    def refuse(self) -> None:  # noqa: B027 # who chooses a server asks before
        """Raise UnavailableError while nobody is to wait for it."""

    def identify(self, raw: Any) -> None:
        """Ask once what names the cluster, the same on a primary and its streaming replicas; "" without permission."""
        if self.identity is None:
            try:
                [self.identity] = ask(raw, _IDENTITY)
            except self.engine.dialect.loaded_dbapi.Error as error:
                self.identity = None if sqlstate(error) is None else ""

    def changed(self, before: str, after: str, reason: str, lag: float | None = None) -> None:
        level = logging.INFO if after in {"available", "usable"} else logging.WARNING
        behind = "" if lag is None else f", {lag:.1f} s behind"
        _LOG.log(level, "%s %s: %s -> %s (%s%s)", type(self).__name__, self.name, before, after, reason, behind)
        self.notify(StateChanged(self.name, before, after, reason, lag))

    @abc.abstractmethod
    def look_at_it(self) -> None:
        """Ask what this kind of server is asked, and take the answer."""

    @abc.abstractmethod
    def unanswered(self, error: Exception) -> None:
        """Take the lack of an answer."""

    def ask_now(self) -> float | None:
        """Ask it; return in how many seconds to ask again, None for when somebody wants to know."""
        started = time.monotonic()
        if self.silent_since is None:
            self.silent_since = started
        try:
            self.look_at_it()
        except Exception as error:  # noqa: BLE001 # whatever stops a question means that there is no answer
            if time.monotonic() - started < HUNG:
                self.silent_since = None  # it refuses: that is an answer
            self.unanswered(error)
        else:
            self.silent_since = None
        with self._answered:
            self._answered.notify_all()
        return None

    def _look(self) -> float | None:
        now = time.monotonic()
        records = tuple(self.records.values())
        self.watch(records, now)
        for record in records:
            if (self.hangs or lasts(record, ASKED, now)) and record.dbapi_connection is not None:
                cut(record.dbapi_connection)
        return _TICK if records or self.silent_since is not None or now - self._noticed_at < _LINGER else None

    def watch(self, records: tuple[Any, ...], now: float) -> None:  # noqa: B027 # nothing more than to free them
        """Look at the connections that somebody has."""

    def _checkout(self, raw: Any, record: Any, _proxy: Any) -> None:
        now = record.info[_USED] = time.monotonic()
        self.records[id(record)] = record
        before, self._noticed_at = self._noticed_at, now
        if now - before > _LINGER / 2:  # whoever came in between knows that it is awake
            self._watch.wake()
        since = record.info.get(_IDLE)
        if since is None or now - since < self._trusted:
            return
        # It lay in the pool: its server may have been restarted meanwhile. Where it is dead, the pool connects anew.
        record.info[ASKED] = now
        try:
            is_alive = self.engine.dialect.do_ping(raw)  # false is how SQLAlchemy before 2.0.5 says it
        except self.engine.dialect.loaded_dbapi.Error:
            is_alive = False
        finally:
            record.info.pop(ASKED, None)
        if not is_alive:
            raise InvalidatePoolError("a connection in the pool was dead")

    def _checkin(self, raw: Any, record: Any) -> None:
        now = record.info[_IDLE] = time.monotonic()
        record.info.pop(COMMITS, None)
        if self.records.pop(id(record), None) is not None and raw is not None and not self.disk_is_asked:
            self.alive_at = now
        if record.info.get(_USED, now) < self._disposed_at:
            record.invalidate()  # the pool that it goes to is no more: nobody else would close it

    def _disposed(self, _engine: Any) -> None:
        self._disposed_at = time.monotonic()


def lasts(record: Any, what: str, now: float, limit: float = PATIENCE) -> bool:
    return bool(now - record.info.get(what, now) > limit)


class Primary(Server):
    """The primary as this process sees it."""

    def __init__(self, opened: Opened, notify: Callable[[Any], None], timeout: float | None) -> None:
        super().__init__(opened, notify, timeout, float("inf") if timeout is None else timeout * _SILENCE)
        if self.is_postgresql:
            event.listen(self.engine, "checkout", lambda *_: self.refuse(), insert=True)  # before the ping
        else:  # nobody asks it whether it is back
            event.listen(self.engine, "connect", lambda *_: self.is_back())

    def begin(self) -> None:
        super().begin()
        self._asked_at = float("-inf")
        self.available = True
        self._doubts_disk = False  # whether a commit has waited for long

    def refuse(self) -> None:
        """Raise UnavailableError while it is known to hang: nobody waits for it."""
        if self.hangs:
            raise UnavailableError("The database does not answer at the moment: try again")

    @property
    def is_away(self) -> bool:
        return not self.available or self.hangs

    def has_written(self, connection: Connection) -> bool:
        """Tell whether the transaction of a connection has written; where that can't be known, it has."""
        raw: Any = connection.connection.dbapi_connection
        if not self.is_postgresql or raw.autocommit:
            return True
        try:
            with self.limited(connection):
                return bool(ask(raw, _HAS_WRITTEN)[0])
        except Exception:  # noqa: BLE001 # it is aborted, and writes nothing; or lost, and the commit will say so
            return False

    def position_after_commit(self, connection: Connection) -> int | None:
        """Return a WAL position that contains the commit which this connection has just made.

        One query, without a transaction. None where it can't be had: another database, no permission.
        """
        if not self.is_postgresql:
            return None
        try:
            with self.beside(connection) as raw:
                [position] = ask(raw, _POSITION)
                self.identify(raw)
        except Exception as error:  # noqa: BLE001 # it is committed: nothing that happens now may say otherwise
            if self.engine.dialect.is_disconnect(error, connection.connection, None):  # type: ignore[arg-type]
                connection.invalidate(error)  # else the pool says so at length
            else:
                said = "No WAL position from %s (%s): reads after writes stay on the primary for a while instead"
                warn_once(_LOG, said, self.name, one_line(error))
            return None
        return int(position)

    def failed(self, reason: object) -> None:
        """Note that it can't be reached or takes no writes: drop the pool, so that its hosts are tried again."""
        self.engine.dispose()
        if self.available:
            self.available = False
            self.changed("available", "unavailable", one_line(reason))
            if self.is_postgresql and not self.asker.wake():
                self.available = True  # without a thread nobody would find out that it is back

    def is_back(self) -> None:
        if not self.available:
            self.available = True
            self.changed("unavailable", "available", "it answers")

    def watch(self, records: tuple[Any, ...], now: float) -> None:
        """Look at who waits; where somebody waits for long, have the server asked whether it hangs."""
        doubt = min(self._limit * _DOUBT, PATIENCE)
        if any(lasts(record, COMMITS, now, doubt) for record in records):
            self._doubts_disk = True
        self._say_that_it_hangs()
        if any(lasts(record, _USED, now, doubt) for record in records):
            self.doubt(now)

    def doubt(self, now: float) -> None:
        """Have it asked whether it hangs, unless it is being asked, or just was."""
        if self.is_postgresql and self.silent_since is None and now - self._asked_at > _DOUBT_INTERVAL:
            self._asked_at = now
            self.asker.wake()

    def look_at_it(self) -> None:
        """Ask whether it takes writes, and, where commits wait for long, whether it finishes one."""
        [takes_writes] = self.probe(_TAKES_WRITES)
        if self._doubts_disk and takes_writes:
            self.disk_is_asked = True
            try:
                self.probe(_COMMIT, _COMMIT_LIMIT)
            finally:
                self.disk_is_asked = False
            self._doubts_disk = False
        if takes_writes:
            self.is_back()

    def unanswered(self, error: Exception) -> None:
        if self.silent_since is None:
            self._doubts_disk = False  # it says why it does not do it: no permission, ...
        self._say_that_it_hangs(error)

    def _say_that_it_hangs(self, reason: object = "nothing for seconds") -> None:
        if self.available and self.hangs:
            self.failed(f"it does not answer ({one_line(reason)})")

    def ask_now(self) -> float | None:
        super().ask_now()
        return PATIENCE if self.silent_since is not None or not self.available else None


def ask(raw: Any, *texts: str) -> tuple[Any, ...]:
    """Return the row that the last question of ours brings: beside SQLAlchemy, as it is none of the application's."""
    with contextlib.closing(raw.cursor()) as cursor:
        for sql in texts:
            cursor.execute(sql)
        return tuple(cursor.fetchone())


def cut(connection: Any) -> None:
    """Shut the socket of a connection down, from any thread; never raises. Its owner's call fails, and closes it.

    The descriptor of libpq's drivers is duplicated before it is looked at, and only cut where its peer is still that
    server: a number that was closed and given to another socket meanwhile is left alone.
    """
    try:
        if not hasattr(connection, "info"):
            # pg8000 has no other way. Of a TLS socket it is the one below: its own method would unwrap it for a reader.
            socket.socket.shutdown(connection._usock, socket.SHUT_RDWR)  # noqa: SLF001
            return
        port = int(connection.info.port)
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    except Exception:  # noqa: BLE001 # closed meanwhile: each driver has its own error for that
        return
    with duplicate, contextlib.suppress(OSError):  # it is down already
        if duplicate.family == socket.AF_UNIX or duplicate.getpeername()[1] == port:
            duplicate.shutdown(socket.SHUT_RDWR)
