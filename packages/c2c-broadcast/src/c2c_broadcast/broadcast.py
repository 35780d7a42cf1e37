"""Call functions in every process of a service, and collect their answers.

    from c2c_broadcast import broadcast

    broadcast.subscribe("version", lambda: {"version": "1.2"})
    broadcast.ask("version")    # Answers(answers=[{"hostname": ..., "pid": ..., "version": "1.2"}, ...], ...)

These functions are those of one broadcaster, which is of the process, as loggers are. The processes of one service on a
host reach each other by themselves (``_host``), those on other hosts through Redis (``_redis``).
"""

import contextlib
import contextvars
import errno
import functools
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from c2c_broadcast._call import (
    Answers,
    BadMessageError,
    BroadcastError,
    Call,
    Health,
    Member,
    checked,
    decode,
    decode_object,
    encode,
    failure,
    run,
)
from c2c_broadcast._errors import ConfigurationError
from c2c_broadcast._host import Exchange, Host
from c2c_broadcast.process import (
    PROC,
    BusyError,
    NoThreadError,
    Pool,
    at_exit,
    at_fork,
    family,
    host_name,
    this_process,
)
from c2c_broadcast.settings import BroadcastSettings, load

if TYPE_CHECKING:
    from c2c_broadcast._redis import Redis, Source
    from c2c_broadcast.shared_state import Kept

_LOG = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])
Callback = Callable[..., Any]

MAX_DEPTH = 5
"""Callbacks that broadcast may be nested so deep."""
MAX_PER_CHANNEL = 4
"""Of a pool's eight threads one channel takes at most so many."""
_MOST_COMPLAINTS = 100
# While a caller waits, members elsewhere that died meanwhile are looked for so often (seconds).
_FIRST_CHECK = 0.1
_CHECK = 0.5
_SENDING = 1.0  # seconds at most to hand a large message that wants no answer to the others

_RETRY = 1.0  # seconds after which a request tries again, where the system had no thread or descriptor to give
# How deep the current thread is nested in callbacks of broadcasts; a context is of a greenlet, too, where one is used.
_DEPTH = contextvars.ContextVar("c2c_broadcast_depth", default=0)


class Node(NamedTuple):
    """This process while it takes part."""

    me: Member
    host: Host | None
    redis: "Redis | None"

    @property
    def parts(self) -> "list[Host | Redis]":
        """What reaches other processes."""
        return [part for part in (self.host, self.redis) if part is not None]


class Broadcaster:
    """Calls functions in every process of a service.

    Subscriptions and shared states are kept whatever settings come later, and in forked children. Nothing is started
    before the first use or ``start()``.
    """

    def __init__(self, settings: BroadcastSettings | None = None, application: str | None = None) -> None:
        self.settings = settings or BroadcastSettings()
        self.states: dict[str, Kept] = {}
        self._callbacks: dict[str, Callback] = {}
        self._application = application or Path(sys.argv[0] or "python").name
        self._chosen = settings is not None
        self.source = _source(self.settings)
        self._numbers = count(1)
        self._complaints: set[str] = set()
        self._pools = {depth: Pool("c2c-broadcast-callback") for depth in range(1, MAX_DEPTH + 1)}
        self._node: Node | None = None
        self.again_at = 0.0  # before this (monotonic) no thread was to be had: requests are not kept by another try
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child: another member, without a thread or socket yet."""
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        node, self._node = self._node, None
        for part in () if node is None else node.parts:
            part.abandon()

    @property
    def started(self) -> bool:
        """Whether this process takes part."""
        return self._node is not None

    def configure(self, settings: BroadcastSettings, application: str | None = None) -> None:
        """Use these settings. The first ones stay: others are named in one warning, and change nothing.

        Raises:
            ConfigurationError: They can't be used.
        """
        source = _source(settings)
        with self._lock:
            first, same = _described(self.settings, self.source), _relevant(settings) == _relevant(self.settings)
            second = self._chosen and not same
            if not second:
                self.settings, self.source, self._chosen = settings, source, True
                self._application = application or self._application
        if second:
            self.complain(
                f"The broadcasts of this process are set up already ({first}): the other settings of a second "
                f"application ({_described(settings, source)}) change nothing"
            )
        elif not same and self._node is not None:
            self._leave()
            self.start()

    def health(self) -> Health:
        """Tell how this is; starts nothing."""
        node = self._node
        redis = None if node is None else node.redis
        return Health(
            transport="host" if self.source is None else "redis",
            connected=node is not None and (redis is None or redis.connected),
            listening=node is None or all(part.listening for part in node.parts),
            queued=sum(pool.queued for pool in self._pools.values()),
            error=None if redis is None else redis.error,
            unsaved={name: why for name, state in list(self.states.items()) if (why := state.unsaved) is not None},
            refused={} if redis is None else dict(redis.refused),
        )

    # -- taking part --

    def close(self) -> None:
        """Leave. Subscriptions are kept, the next use starts anew, and other settings may be chosen."""
        self._leave()
        self._chosen = False

    at_exit = close

    def _leave(self) -> None:
        with self._lock:
            node, self._node = self._node, None
        for part in () if node is None else node.parts:
            part.close()
        for pool in self._pools.values():
            pool.close()

    def start(self) -> Node:
        """Take part from now on; returns at once, a connection is made meanwhile. More than once is fine."""
        if self._node is not None:
            return self._node
        node = self._new_node()
        if node.host is None and time.monotonic() < self.again_at:  # no descriptor was free: for this call only
            return node
        with self._lock:
            first = self._node is None
            if first:
                self._node = node
        if not first:
            for part in node.parts:
                part.close()  # another thread was faster
            return self.start()
        try:
            for part in node.parts:
                part.start()
        except RuntimeError as error:
            self._leave()
            self.again_at = time.monotonic() + _RETRY
            self.complain(f"This process can ask others, but not be asked, until it has a thread to listen: {error}")
            return node
        at_exit(self)
        for state in list(self.states.values()):
            state.begin()
        return node

    def _new_node(self) -> Node:
        process, machine = this_process(), ""
        # This kernel since it booted, and the namespace in which pids mean something.
        with contextlib.suppress(OSError):
            machine = f"{(PROC / 'sys/kernel/random/boot_id').read_text().strip()} {family().namespace}"
        name, now = f"{secrets.token_hex(8)}-{process.pid}", time.time()
        me, host = Member(name, host_name(), process, now, self._application, machine, seen=now), None
        try:
            host = Host(me, self.settings.broadcast_prefix, self)
            # Where Redis joins hosts, these reach each other without it.
            me = replace(me, family=f"{machine} {family().name}" if machine else "")
        except OSError as error:
            self.complain(f"The other processes of this service on this host can't be reached: {error}")
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self.again_at = time.monotonic() + _RETRY
        if self.source is None:
            return Node(me, host, None)
        from c2c_broadcast._redis import Redis

        return Node(me, host, Redis(self.source, me, self))

    def subscribe(self, channel: str, callback: Callback) -> None:
        """As the function ``subscribe``."""
        checked(channel)
        if not callable(callback):
            raise BroadcastError(f"broadcast channel {channel!r}: its callback is no function, but {callback!r:.200}")
        before = self._callbacks.get(channel, callback)
        self._callbacks[channel] = callback
        if _name(before) != _name(callback):
            _LOG.warning("Broadcast channel %r: %s replaces %s", channel, _name(callback), _name(before))

    def unsubscribe(self, channel: str) -> None:
        """Answer broadcasts on ``channel`` no more; one that is not subscribed is fine."""
        self._callbacks.pop(channel, None)

    def members(self) -> list[Member]:
        """Return all processes that are known to take part, this one first."""
        node = self.start()
        found: list[Member] = []
        with contextlib.suppress(OSError):  # no descriptor is free
            found += [] if node.host is None else [member for _, member in node.host.members()[0]]
        if node.redis is not None:
            found += node.redis.members()
        return [replace(node.me, seen=time.time()), *sorted(found, key=lambda one: (one.hostname, one.pid))]

    # -- asking --

    def ask(self, channel: str, params: Mapping[str, Any] | None = None, timeout: float = 10) -> Answers:
        """As the function ``ask``."""
        return self.call(channel, params, timeout).result()

    def call(
        self, channel: str, params: Mapping[str, Any] | None, timeout: float, *, others: bool = True, own: bool = True
    ) -> Call:
        """Send a request and wait for what is expected; return all of it."""
        text, depth = checked(channel, params, timeout), _DEPTH.get() + 1
        if depth > MAX_DEPTH:
            raise BroadcastError(
                f"broadcast channel {channel!r}: {MAX_DEPTH} callbacks are nested: one of them asks for itself"
            )
        node, deadline, call = self.start(), time.monotonic() + timeout, Call(next(self._numbers))
        self._calls[call.number] = call
        exchange = Exchange(call)
        try:
            message = (
                f'{{"from":"{node.me.id}","id":{call.number},"channel":{encode(channel)},"depth":{depth},'
                f'"answer":{"true" if others else "false"},"params":{text}}}'
            )
            if node.host is not None:
                node.host.ask(exchange, message.encode() + b"\n")
            else:
                silent = family().workers({node.me.pid})
                call.unasked = [replace(node.me, id=one.name, process=one, seen=0.0) for one in silent]
                call.whole &= family().is_root
            if own:
                call.expect([node.me])
                request = {**decode(message), "answer": True}
                self.take(request, node.me, lambda text: call.answer(node.me.id, decode(text)), here=True)
                call.answer(node.me.id, {"working": True})
            if node.redis is not None:
                node.redis.ask(call, message, deadline - time.monotonic())
            if not others:
                call.expect_only(node.me)
            self._wait(call, exchange, node.redis if others else None, deadline)
            end = time.monotonic() + _SENDING
            while not others and exchange.unsent and time.monotonic() < end:
                exchange.wait(end - time.monotonic())
        finally:
            del self._calls[call.number]
            exchange.close()
            call.close()
        return call

    def _wait(self, call: Call, exchange: Exchange, redis: "Redis | None", deadline: float) -> None:
        check = time.monotonic() + _FIRST_CHECK
        while call.waiting and (now := time.monotonic()) < deadline:
            exchange.wait(min(deadline, check) - now if redis is not None else deadline - now)
            if redis is not None and call.waiting and time.monotonic() >= check:
                redis.check(call, deadline)
                check = time.monotonic() + _CHECK

    # -- answering: all of it is called by a listener's thread, where nothing may wait --

    def read(self, data: bytes) -> dict[str, Any] | None:
        """Return a request of another process, None where it is none."""
        try:
            return decode_object(
                data, **{"id": int, "from": str, "channel": str, "params": dict, "depth": int, "answer": bool}
            )
        except BadMessageError as error:
            self.complain(f"A broadcast is dropped: {error}")
            return None

    def take(self, request: dict[str, Any], me: Member, reply: Callable[[str], None], *, here: bool = False) -> None:
        """Hand a request to a thread; ``reply`` is called once, with an empty text where no answer is wanted.

        Where the system has no thread to give, the callback is called ``here``, if that may wait.
        """
        if self._node is None and not here:
            reply("")
            return
        channel, depth = request["channel"], min(max(request["depth"], 1), MAX_DEPTH)

        def say(part: str) -> None:
            head = f'"id":{request["id"]},"from":"{me.id}"'
            reply(f"{{{head}{',' if part else ''}{part}}}" if request["answer"] else "")

        callback = self._callbacks.get(channel)
        if callback is None:
            say("")
            return

        def job() -> None:
            _DEPTH.set(depth)
            say(run(channel, callback, request["params"], me))

        try:
            self._pools[depth].submit(job, channel, MAX_PER_CHANNEL)
        except BusyError as error:
            if here and isinstance(error, NoThreadError):
                contextvars.copy_context().run(job)
                return
            self.complain(f"A broadcast on the channel {channel!r} is dropped: {error}")
            say(failure(me, error))

    def take_answer(self, data: bytes) -> None:
        """Take an answer that came through Redis; one to a call that has ended is dropped."""
        try:
            message = decode_object(data, **{"id": int, "from": str})
            call = self._calls.get(message["id"])
            if call is not None:
                call.answer(message["from"], message)
        except BadMessageError as error:
            self.complain(f"An answer to a broadcast is dropped: {error}")

    def run(self, what: str, job: Callable[[], None]) -> bool:
        """Run something in a thread of the callbacks; False where all have too much to do."""
        try:
            self._pools[1].submit(job, f"\0{what}", 1)  # no channel has such a name
        except BusyError:
            self.complain(f"No thread is free to {what}")
            return False
        return True

    def complain(self, text: str) -> None:
        """Log a text the first time that it comes up."""
        if text not in self._complaints and len(self._complaints) < _MOST_COMPLAINTS:
            self._complaints.add(text)
            _LOG.warning("%s", text)


def _source(settings: BroadcastSettings) -> "Source | None":
    if not (settings.redis_url or settings.redis_sentinels):
        return None
    try:
        # All that the listener's thread needs is imported before it starts: a process may fork at any moment.
        from c2c_broadcast._redis import Source
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigurationError(
            "C2C_REDIS_URL or C2C_REDIS_SENTINELS (ini keys c2c.redis_url, c2c.redis_sentinels) is set and redis is "
            "not installed: pip install 'c2c-broadcast[redis]'"
        ) from error
    return Source(settings)  # bad settings stop the start-up, not the first broadcast


def _described(settings: BroadcastSettings, source: "Source | None") -> str:
    return f"{'no Redis' if source is None else source.name}, prefix {settings.broadcast_prefix}"


def _relevant(settings: BroadcastSettings) -> dict[str, Any]:
    return {key: value for key, value in asdict(settings).items() if key.startswith(("redis_", "broadcast_"))}


def _name(callback: Callback) -> str:
    """Name a function; two applications that include the same package subscribe functions of one name."""
    return f"{getattr(callback, '__module__', '?')}.{getattr(callback, '__qualname__', type(callback).__qualname__)}"


# -- the process's own --


_PROCESS: dict[str, Broadcaster] = {}  # the one of this process, made at the first use


def get_broadcaster() -> Broadcaster:
    """Return the broadcaster of this process."""
    return _PROCESS.get("mine") or _PROCESS.setdefault("mine", Broadcaster())


def set_broadcaster(broadcaster: Broadcaster) -> Broadcaster:
    """Use another broadcaster, in tests; return the one before it, to be put back."""
    before = get_broadcaster()
    _PROCESS["mine"] = broadcaster
    return before


def init(
    settings: BroadcastSettings | Mapping[str, Any] | None = None,
    application: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Choose how processes reach each other by ini ``settings`` and environment.

    Nothing is started or connected by this. ``application`` names this process among the members, by default the
    program's name. The first settings stay, until ``close()``: others are named in one warning. Subscriptions made
    before are kept.

    Raises:
        ConfigurationError: A setting can't be used; the message names it.
    """
    if not isinstance(settings, BroadcastSettings):
        settings = load(BroadcastSettings, settings or {}, environ)
    get_broadcaster().configure(settings, application)


def start() -> None:
    """Take part from now on, for daemons; returns at once. In a service the first request does it."""
    get_broadcaster().start()


def close() -> None:
    """Leave: threads end, the others forget this process. Done by itself at exit."""
    get_broadcaster().close()


def health() -> Health:
    """Tell how broadcasts and shared states of this process are; starts nothing."""
    return get_broadcaster().health()


def members() -> list[Member]:
    """Return all processes that are known to take part, this one first."""
    return get_broadcaster().members()


def subscribe(channel: str, callback: Callback) -> None:
    """Have ``callback(**params)``, which returns what JSON can hold, answer broadcasts on ``channel``.

    A channel has one callback; a later one replaces it. Callbacks run in threads of their own, never in a listener.

    Raises:
        BroadcastError: The name of the channel is no short text, or the callback no function.
    """
    get_broadcaster().subscribe(channel, callback)


def unsubscribe(channel: str) -> None:
    """Answer broadcasts on ``channel`` no more."""
    get_broadcaster().unsubscribe(channel)


def broadcast(
    channel: str, params: Mapping[str, Any] | None = None, expect_answers: bool = False, timeout: float = 10
) -> list[Any] | None:
    """Call the callback of ``channel`` in every process, with ``params`` as keyword arguments.

    Returns None as soon as this process's own callback has ended; with ``expect_answers`` a list of all answers, in
    which each member that failed or did not answer within ``timeout`` seconds is None. A dict among them has
    ``hostname`` and ``pid`` of its process.

    Raises:
        BroadcastError: An argument is of a wrong kind, JSON can't hold the parameters, or callbacks ask each other
            endlessly.
    """
    answers = get_broadcaster().call(channel, params, timeout, others=expect_answers).result()
    if not expect_answers:
        return None
    return answers.answers + [None] * (len(answers.failed) + len(answers.missing) + len(answers.late))


def ask(channel: str, params: Mapping[str, Any] | None = None, timeout: float = 10) -> Answers:
    """Call the callback of ``channel`` in every process and return answers, failures, and who is missing.

    Returns as soon as all live members answered, after ``timeout`` seconds at the latest.

    Raises:
        BroadcastError: As of ``broadcast``.
    """
    return get_broadcaster().ask(channel, params, timeout)


def decorator(
    channel: str | None = None, expect_answers: bool = False, timeout: float = 10
) -> Callable[[_F], Callable[..., list[Any] | None]]:
    """Make calling a function call it in every process, with its keyword arguments.

    What the call returns is what ``broadcast`` does. The channel is named after the function by default.

    Raises:
        BroadcastError: The name of the channel is no short text, or the parentheses are missing.
    """
    if callable(channel):
        raise BroadcastError(f"broadcast.decorator has parentheses, also without arguments: it was given {channel!r}")

    def decorate(function: _F) -> Callable[..., list[Any] | None]:
        name = channel or f"c2c_decorated_{function.__module__}.{function.__qualname__}"
        subscribe(name, function)

        @functools.wraps(function)
        def everywhere(**params: Any) -> list[Any] | None:
            return broadcast(name, params, expect_answers, timeout)

        return everywhere

    return decorate
