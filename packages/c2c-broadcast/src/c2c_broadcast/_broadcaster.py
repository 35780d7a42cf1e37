"""The broadcaster: subscriptions and settings, which outlive forks and connections, and the node that uses them."""

import atexit
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from c2c_broadcast._answers import Answers, Health
from c2c_broadcast._base_settings import BroadcastSettings
from c2c_broadcast._callbacks import Callback
from c2c_broadcast._errors import BroadcastError, ConfigurationError
from c2c_broadcast._forks import forks
from c2c_broadcast._node import Node, checked_channel
from c2c_broadcast._roster import Member
from c2c_broadcast._states import States
from c2c_broadcast._transport import LocalTransport, Receiver, Transport

_LOG = logging.getLogger(__name__)

TransportFactory = Callable[[Member, Receiver], Transport]


def _local(me: Member, receiver: Receiver) -> Transport:  # noqa: ARG001 # a TransportFactory's signature
    return LocalTransport(me)


def _factory(settings: BroadcastSettings) -> TransportFactory:
    if not (settings.redis_url or settings.redis_sentinels):
        return _local
    try:
        from c2c_broadcast._redis_source import Source
        from c2c_broadcast._redis_transport import RedisTransport
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigurationError(
            "C2C_REDIS_URL or C2C_REDIS_SENTINELS (ini keys c2c.redis_url, c2c.redis_sentinels) is set and redis is "
            "not installed: pip install 'c2c-broadcast[redis]'"
        ) from error
    Source(settings)  # bad settings stop the start-up, not the first broadcast
    return lambda me, receiver: RedisTransport(settings, Source(settings), me, receiver)


class Broadcaster:
    """Calls functions in every process of a service.

    Subscriptions and shared states are kept whatever transport comes later, and in forked children. Nothing is
    started before the first use or ``start()``.
    """

    def __init__(self, settings: BroadcastSettings | None = None, application: str | None = None) -> None:
        self._lock = threading.RLock()
        self._callbacks: dict[str, Callback] = {}
        self.states = States(self)
        self._settings = settings or BroadcastSettings()
        self._factory = _factory(self._settings)
        self._application = application or Path(sys.argv[0] or "python").name
        self._node: Node | None = None
        self._exit_hooked = False
        self.started = False
        forks.watch(self)

    def configure(self, settings: BroadcastSettings, application: str | None = None) -> None:
        """Use these settings from now on. The same ones again change nothing.

        Raises:
            ConfigurationError: They can't be used.
        """
        with self._lock:
            application = application or self._application
            if _relevant(settings) == _relevant(self._settings) and application == self._application:
                return
            factory = _factory(settings)
            restart = self.started
            self.close()
            self._settings, self._application, self._factory = settings, application, factory
            if restart:
                self.start()

    def start(self) -> None:
        """Take part from now on; returns at once, a connection is made meanwhile. More than once is fine."""
        if not self.started:
            self.running()

    def close(self) -> None:
        """Leave. Subscriptions are kept, and the next use starts anew."""
        with self._lock:
            node, self._node, self.started = self._node, None, False
        if node is not None:
            node.transport.close()
            node.executor.close()

    def subscribe(self, channel: str, callback: Callback) -> None:
        """Have ``callback(**params)`` answer broadcasts on ``channel``; it replaces the callback before it.

        Raises:
            BroadcastError: The name of the channel is no short text, or the callback no function.
        """
        channel = checked_channel(channel)
        if not callable(callback):
            raise BroadcastError(f"broadcast channel {channel!r}: its callback is no function, but {callback!r:.200}")
        with self._lock:
            before = self._callbacks.get(channel, callback)
            if _name(before) != _name(callback):
                _LOG.warning("Broadcast channel %r: %s replaces %s", channel, _name(callback), _name(before))
            self._callbacks[channel] = callback
            if self._node is not None:
                self._node.transport.subscribe(channel)

    def unsubscribe(self, channel: str) -> None:
        """Answer broadcasts on ``channel`` no more; one that is not subscribed is fine."""
        with self._lock:
            if self._callbacks.pop(channel, None) is not None and self._node is not None:
                self._node.transport.unsubscribe(channel)

    def ask(self, channel: str, params: Mapping[str, Any] | None = None, timeout: float = 10) -> Answers:
        """Call the callback of ``channel`` in every process and wait for them, at most ``timeout`` seconds.

        Raises:
            BroadcastError: An argument is of a wrong kind, JSON can't hold the parameters, or callbacks ask each other
                endlessly.
        """
        return self.running().ask(channel, {} if params is None else params, timeout)

    def broadcast(
        self, channel: str, params: Mapping[str, Any] | None = None, expect_answers: bool = False, timeout: float = 10
    ) -> list[Any] | None:
        """Call the callback of ``channel`` in every process.

        Without ``expect_answers`` only this process's own callback is waited for and None is returned. With it the
        answers are, and None for each member that failed or did not answer in time.

        Raises:
            BroadcastError: As ``ask``.
        """
        answers = self.running().ask(channel, {} if params is None else params, timeout, others=expect_answers)
        if not expect_answers:
            return None
        silent = len(answers.failed) + len(answers.missing) + len(answers.late)
        return answers.answers + [None] * silent

    def members(self) -> list[Member]:
        """Return all processes that take part, this one first."""
        return self.running().transport.members()

    def health(self) -> Health:
        """Tell how the broadcaster of this process is; starts nothing."""
        node = self._node
        if node is None:
            name = "local" if self._factory is _local else "redis"
            return Health(name, False, False, 0.0, True, 0, None)
        return replace(node.transport.health(), queued=node.executor.queued)

    @property
    def node(self) -> Node | None:
        """The member that this process is, None before the start."""
        return self._node

    def after_fork(self) -> None:
        """Begin anew in a forked child: another member, without a thread or socket yet."""
        self._lock = threading.RLock()
        node, self._node, self.started = self._node, None, False
        if node is not None:
            node.transport.abandon()
        self.states.after_fork()

    def running(self) -> Node:
        """Return the member that this process is, started."""
        node = self._node
        if node is not None:
            return node
        with self._lock:
            if self._node is None:
                node = Node(Member.me(self._application), self._callbacks, self.states, self._factory)
                node.transport.start()
                self._node = node
                self.started = True
                if not self._exit_hooked:
                    self._exit_hooked = True
                    atexit.register(self.close)
            else:
                return self._node
        self.states.wake()
        return node


def _name(callback: Callback) -> str:
    """Name a function; two applications that include the same package subscribe functions of one name."""
    return f"{getattr(callback, '__module__', '?')}.{getattr(callback, '__qualname__', type(callback).__qualname__)}"


def _relevant(settings: BroadcastSettings) -> BroadcastSettings:
    return replace(settings, base_path="/", secret=None, light_requests=True)
