"""The one thread that talks with Redis: it connects, listens, gives signs of life, and never ends by itself."""

import logging
import random
import threading
import time
from typing import Protocol

from redis.exceptions import AuthenticationError, RedisError

from c2c_broadcast._mask import mask
from c2c_broadcast._redis_link import Link
from c2c_broadcast._redis_source import Source
from c2c_broadcast._resp import ProtocolError, Push, ReplyError

_LOG = logging.getLogger(__name__)

_SLOWEST_RETRY = 1.0
_SLOWEST_RETRY_REFUSED = 2.0  # a wrong password, or no Redis: more haste would only fill its log
# How long a caller waits for an attempt to connect that is under way.
_FIRST_ATTEMPT = 2.0
_NEXT_ATTEMPT = 0.25
# A connection that breaks is made anew at once; but not endlessly if each lasts less than so many seconds.
_LASTED = 1.0
_TRIED_QUIETLY = 3


class Session(Protocol):
    """What is done with a connection, all of it in the listener's thread."""

    def join(self, link: Link) -> None:
        """Make this process a member; raise if it can't be."""

    def joined(self, link: Link) -> None:
        """Take note that the link is in use from now on."""

    def work(self, link: Link) -> None:
        """Do what is due."""

    def on_message(self, message: Push) -> None:
        """Take a message."""

    def left(self) -> None:
        """Take note that there is no link any more."""


class Listener:
    """Keeps a link to Redis; ``link`` is None while there is none."""

    def __init__(self, source: Source, session: Session) -> None:
        self._source = source
        self._session = session
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._connecting = True
        self._patience = _FIRST_ATTEMPT
        self._up_at: float | None = None
        self._told = False
        self.link: Link | None = None
        self.since = time.time()
        self.error: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it lives."""
        with self._changed:
            if self._stopping.is_set() or self.alive:
                return
            self._thread = threading.Thread(target=self._run, name="c2c-broadcast-redis", daemon=True)
            self._thread.start()

    def wait_link(self) -> Link | None:
        """Return the link; wait a moment for one if an attempt is under way, not if Redis is known to be away."""
        if self.link is None and self._connecting and threading.current_thread() is not self._thread:
            with self._changed:
                self._changed.wait_for(lambda: self.link is not None or not self._connecting, self._patience)
        return self.link

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        link = self.link
        if link is not None:
            link.shut_down()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def abandon(self) -> None:
        """In a forked child: the thread is not there; close the copy of its socket."""
        if self.link is not None:
            self.link.abandon()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._up_at = None
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 # the boundary of the thread: it must outlive every error
                if self._stopping.is_set():
                    return
                failures = 0 if self._lasted() else failures + 1
                if failures > (_TRIED_QUIETLY if self._joined() else 0):
                    self._report(error)
                    self._pause(error, failures)
                else:
                    _LOG.info("The connection to Redis %s is lost (%s); making it anew", self._source.name, error)

    def _joined(self) -> bool:
        return self._up_at is not None

    def _lasted(self) -> bool:
        return self._up_at is not None and time.monotonic() - self._up_at > _LASTED

    def _serve(self) -> None:
        link = Link(self._source.connect(), self._source.timeout)
        try:
            self._session.join(link)
            self._use(link)
            while not self._stopping.is_set():
                link.receive(self._session.on_message)
                self._session.work(link)
        finally:
            if self.link is not None:
                self._connecting = True  # the next attempt follows at once
                self.link = None
                self.since = time.time()
                self._session.left()
            link.close()

    def _use(self, link: Link) -> None:
        self._up_at = time.monotonic()
        if self._told:
            _LOG.info("Redis %s is back: broadcasts reach every process again", self._source.name)
            self._told = False
        with self._changed:
            self.link = link
            self.since = time.time()
            self.error = None
            self._connecting = False
            self._patience = _NEXT_ATTEMPT
            self._changed.notify_all()
        self._session.joined(link)

    def _report(self, error: Exception) -> None:
        self.error = mask(f"{type(error).__name__}: {error}")
        if self._told:
            return
        self._told = True
        expected = isinstance(error, OSError | RedisError | ProtocolError | ReplyError)
        _LOG.warning(
            "Redis %s can't be used (%s): broadcasts reach this process only until it can; trying on",
            self._source.name,
            self.error,
            exc_info=None if expected else error,
        )

    def _pause(self, error: Exception, failures: int) -> None:
        away = isinstance(error, OSError | RedisError) and not isinstance(error, AuthenticationError)
        slowest = _SLOWEST_RETRY if away else _SLOWEST_RETRY_REFUSED
        seconds = min(slowest, 0.05 * 2 ** min(failures, 10)) * random.uniform(0.7, 1.0)  # noqa: S311 # no secret
        with self._changed:
            self._connecting = False
            self._changed.notify_all()
            self._changed.wait_for(self._stopping.is_set, seconds)
