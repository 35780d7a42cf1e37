"""A server as this process sees it: who waits for it, whether it answers, and an end of waiting where it does not.

Two threads a database, started by use and idle without it: one asks servers (by connections of its own, beside pools
and metrics), one looks every quarter of a second at who waits, and cuts what waits for a server that hangs.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import InvalidatePoolError

from c2c_broadcast import mask
from c2c_broadcast.process import Worker, at_fork
from c2c_db._engines import Opened, engine_name, is_libpq
from c2c_db._observers import Observers

PATIENCE = 1.0
"""Seconds that a server may take for an answer to us before it counts as one that does not answer."""
_TICK = 0.25
# Seconds for which the watch goes on without a call, so that it is not woken by each.
_LINGER = 3.0
HUNG = 0.9
"""Seconds that a failure took when its server is taken to hang, not to refuse."""
# Seconds: what libpq takes as the least.
_CONNECT_LIMIT = 2
_STATEMENT_LIMIT_MS = 100
_CALL = "c2c_db.call"
_SINCE = "c2c_db.idle_since"
_IDENTITY = "SELECT system_identifier::text FROM pg_control_system()"


class Call:
    """A connection that somebody has: since when, and since when it is asked something by us (monotonic seconds)."""

    __slots__ = ("asked_since", "record", "since")

    def __init__(self, record: Any, since: float) -> None:
        self.record = record
        self.since = since
        self.asked_since: float | None = None

    def cut(self) -> None:
        """Let its owner's call fail as if the server had gone."""
        raw = self.record.dbapi_connection
        if raw is not None:
            _cut(raw)


class Server:
    """A server, the calls that wait for it, and the thread that asks it.

    ``hangs`` is true when it was asked, has said nothing for ``patience`` seconds, and has ended no call meanwhile.
    """

    def __init__(self, database: str, opened: Opened, observers: Observers, patience: float) -> None:
        self.database = database
        self.engine = opened.engine
        self.name = engine_name(opened.engine)
        self.observers = observers
        self.patience = patience
        self.watch: Watch | None = None
        self.identity: str | None = None
        self._arguments = opened.arguments
        self._trusted = opened.trusted
        self._asker = Worker(f"c2c_db probe {self.name}", self._ask)
        if self.engine.dialect.name == "postgresql":
            event.listen(self.engine, "checkout", self._checkout)
            event.listen(self.engine, "checkin", self._checkin)
        self.begin()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew, in the child; the parent's connections stay the parent's."""
        self.engine.dispose(close=False)
        self.begin()

    def begin(self) -> None:
        """Begin: nothing is known, nobody waits."""
        self.calls: dict[int, Call] = {}
        self.silent_since: float | None = None
        self._alive_at = float("-inf")
        self._answered = threading.Condition()

    @property
    def hangs(self) -> bool:
        """Whether it is known to hang."""
        since = self.silent_since
        return since is not None and time.monotonic() - max(since, self._alive_at) > self.patience

    def ask_soon(self) -> None:
        """Have it asked by its thread."""
        self._asker.wake()

    def wait_for(self, done: Any, seconds: float = PATIENCE) -> None:
        """Wait until an answer, or the lack of one, makes ``done()`` true, but not for longer."""
        with self._answered:
            self._answered.wait_for(done, seconds)

    def close(self) -> None:
        """End the thread and close idle connections."""
        self._asker.close(0)
        self.engine.dispose()

    @contextlib.contextmanager
    def limited(self, connection: Connection) -> Iterator[Any]:
        """Give the driver's connection for a question of our own: one that takes more than a second is cut."""
        call: Call | None = connection.info.get(_CALL)
        raw: Any = connection.connection.dbapi_connection
        if call is None:
            yield raw
            return
        call.asked_since = time.monotonic()
        try:
            yield raw
        finally:
            call.asked_since = None

    def tick(self, now: float) -> bool:
        """Look at who waits; tell whether there is anything to look at."""
        calls = tuple(self.calls.values())
        for call in calls:
            if call.asked_since is not None and now - call.asked_since > PATIENCE:
                call.cut()
        if calls and self.hangs:
            for call in calls:
                call.cut()
        return bool(calls) or self.silent_since is not None

    def probe(self, sql: str) -> tuple[Any, ...]:
        """Return the row that a question brings, by a connection of its own, within about 3 s.

        Raises:
            Exception: The server can't be reached, or does not answer: the driver's error.
        """
        connection = self._connect()
        limit = threading.Timer(PATIENCE, _cut, (connection,))
        limit.daemon = True
        limit.start()  # the server's own limit needs a live server
        try:
            connection.autocommit = True
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute(f"SET statement_timeout = {_STATEMENT_LIMIT_MS}")
                cursor.execute(sql)
                row: Any = cursor.fetchone()
                if self.identity is None:
                    self.identity = self.identify(cursor)
        finally:
            limit.cancel()
            connection.close()
        return tuple(row)

    def identify(self, cursor: Any) -> str | None:
        """Return what names the cluster, the same on a primary and its streaming replicas; None without permission."""
        try:
            cursor.execute(_IDENTITY)
            return str(cursor.fetchone()[0])
        except self.engine.dialect.loaded_dbapi.Error:
            return None

    def _ask(self) -> float | None:
        """Ask it once, in its thread; return in how many seconds to ask again, None for when somebody wants to know."""
        if not self.is_wanted():
            return None
        started = time.monotonic()
        if self.silent_since is None:
            self.silent_since = started
        try:
            seen = self.look_at_it()
        except Exception as error:  # noqa: BLE001 # whatever stops a question means that there is no answer
            if time.monotonic() - started < HUNG:
                self.silent_since = None  # it refuses: that is an answer
            self.unanswered(first_line(error))
        else:
            self.silent_since = None
            self.answered(seen)
        with self._answered:
            self._answered.notify_all()
        return self.pause()

    def is_wanted(self) -> bool:
        """Tell whether anybody wants to know."""
        return True

    def look_at_it(self) -> Any:
        """Ask what this kind of server is asked."""
        raise NotImplementedError

    def answered(self, seen: Any) -> None:
        """Take an answer."""
        raise NotImplementedError

    def unanswered(self, reason: str) -> None:
        """Take the lack of one."""
        raise NotImplementedError

    def pause(self) -> float | None:
        """Return in how many seconds to ask again."""
        raise NotImplementedError

    def _checkout(self, raw: Any, record: Any, _proxy: Any) -> None:
        now = time.monotonic()
        call = self.calls[id(record)] = record.info[_CALL] = Call(record, now)
        if self.watch is not None:
            self.watch.notice(now)
        since = record.info.get(_SINCE)
        if since is None or now - since < self._trusted:
            return
        # It lay in the pool: its server may have been restarted meanwhile. Where it is dead, the pool connects anew.
        driver: Any = self.engine.dialect.dbapi
        call.asked_since = now
        try:
            alive = self.engine.dialect.do_ping(raw)
        except driver.Error as error:
            raise InvalidatePoolError("a connection in the pool was dead") from error
        finally:
            call.asked_since = None
        if not alive:  # as SQLAlchemy before 2.0.5 says it
            raise InvalidatePoolError("a connection in the pool was dead")

    def _checkin(self, raw: Any, record: Any) -> None:
        now = record.info[_SINCE] = time.monotonic()
        record.info.pop(_CALL, None)
        if self.calls.pop(id(record), None) is not None and raw is not None:
            self._alive_at = now

    def _connect(self) -> Any:
        engine = self.engine
        positional, named = engine.dialect.create_connect_args(engine.url)
        positional = list(positional)
        limit = "connect_timeout" if is_libpq(engine.url) else "timeout"
        named = {**named, **self._arguments, limit: _CONNECT_LIMIT}
        named.setdefault("application_name", "c2c_db probe")
        # As the pool does: a listener may bring the password of the hour (a cloud's token).
        for connect in engine.dialect.dispatch.do_connect:
            connection = connect(engine.dialect, None, positional, named)
            if connection is not None:
                return connection
        return engine.dialect.connect(*positional, **named)


class Watch:
    """The thread that looks at who waits for the servers of a database, while somebody uses them."""

    def __init__(self, name: str, servers: tuple[Server, ...]) -> None:
        self._servers = servers
        self._worker = Worker(f"c2c_db watch {name}", self._look)
        self._noticed_at = float("-inf")
        self._awake = False
        at_fork(self)
        for server in servers:
            server.watch = self

    def after_fork(self) -> None:
        """Begin asleep, in the child."""
        self._awake = False

    def notice(self, now: float) -> None:
        """Note that somebody has a connection; cheap while the thread is awake."""
        self._noticed_at = now
        if not self._awake:
            self._awake = True
            self._worker.wake()

    def close(self) -> None:
        """End the thread."""
        self._worker.close(0)

    def _look(self) -> float | None:
        now = time.monotonic()
        busy = [server.tick(now) for server in self._servers]
        if any(busy) or now - self._noticed_at < _LINGER:
            return _TICK
        self._awake = False
        # Somebody may have come between the two lines.
        return _TICK if time.monotonic() - self._noticed_at < _LINGER else None


def first_line(error: object) -> str:
    """Return what an error says, for a log line: masked, its first line."""
    return mask(str(error).strip().partition("\n")[0]) or type(error).__name__


def ask_one(raw: Any, sql: str) -> Any:
    """Return the value that a question of ours brings. Beside SQLAlchemy: it is no statement of the application's."""
    with contextlib.closing(raw.cursor()) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _cut(connection: Any) -> None:
    """Shut the socket of a connection down, from any thread; never raises. Its owner's call fails, and closes it.

    The descriptor of libpq's drivers is duplicated before it is looked at, and only cut where its peer is still that
    server: a number that was closed and given to another socket meanwhile is left alone.
    """
    try:
        if not hasattr(connection, "info"):
            connection._usock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 # pg8000 has no other way
            return
        port = int(connection.info.port)
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    except Exception:  # noqa: BLE001 # closed meanwhile: each driver has its own error for that
        return
    with duplicate:
        try:
            if duplicate.family == socket.AF_UNIX or duplicate.getpeername()[1] == port:
                duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is down already
