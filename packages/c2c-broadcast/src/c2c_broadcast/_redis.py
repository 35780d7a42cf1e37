"""Broadcasts and shared states between hosts, by redis-py.

Two channels of publish/subscribe: ``{prefix}ask``, to which all requests go, and ``{prefix}answer:{member}`` for the
answers to one member. The hash ``{prefix}members`` says who is there, with a sign of life every two seconds in Redis's
clock; ``{prefix}state_{name}`` holds a shared state, a field a key. Members of one family reach each other without
Redis and drop what comes from each other through it.
"""

import contextlib
import encodings.idna  # noqa: F401 # looked up by getaddrinfo: a fork during its import leaves a child without it
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from redis import ConnectionPool
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from c2c_broadcast._call import BadMessageError, Call, Member
from c2c_broadcast._errors import ConfigurationError
from c2c_broadcast.process import Worker
from c2c_broadcast.secrets import mask
from c2c_broadcast.settings import BroadcastSettings

if TYPE_CHECKING:
    from c2c_broadcast.broadcast import Broadcaster

_LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT = 1.0
TIMEOUT = 2.0
"""Seconds to wait for a reply, where the options don't say."""
HEARTBEAT = 2.0
"""Seconds between two signs of life."""
FRESH = 3 * HEARTBEAT
"""A member whose last sign of life is older is not waited for."""
FORGOTTEN = 600.0
"""A member that is connected and silent (a stopped process) is named as missing for this long."""
RECOVERY = 4.0
"""After Redis was away, members are given so long to come back before they are forgotten."""
_TICK = 0.25
_PING = 1.0
_RETRY = 0.5
_ALARM = 3  # so many attempts in a row have failed when it is said that a Redis that was there is away
_WORKING_AFTER = 0.3  # a callback that takes longer says that it is at work
_DAY = 86_400
# Options of redis-py's clients and pools, which deployments share with other code; a connection knows them not.
_OF_CLIENTS = ("max_connections", "single_connection_client", "auto_close_connection_pool", "timeout")

_parse_url: Any = parse_url  # redis-py leaves some functions without types
_Sentinel: Any = Sentinel
_SentinelPool: Any = SentinelConnectionPool
_Pool: Any = ConnectionPool


class Source:
    """How to reach the Redis of the settings: by URL or by Sentinel, with the options of redis-py."""

    def __init__(self, settings: BroadcastSettings) -> None:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_keepalive": True,
            "protocol": 2,  # what every server speaks
        }
        self._sentinel: Any = None
        self._service = settings.redis_servicename or ""
        if settings.redis_sentinels:
            self._sentinel = _sentinels(settings)
            hosts = ",".join(f"{host}:{port}" for host, port in settings.redis_sentinels)
            self.name = f"service {self._service} of the sentinels {hosts}"
            options["db"] = settings.redis_db
        else:
            url = settings.redis_url or ""
            self.name = mask(url.partition("?")[0])
            try:
                options |= _parse_url(url)
            except ValueError as error:
                raise ConfigurationError(f"C2C_REDIS_URL (ini key c2c.redis_url): {mask(str(error))}") from None
        options |= settings.redis_options or {}
        if "path" in options:
            del options["socket_keepalive"]
        for name in _OF_CLIENTS:
            options.pop(name, None)
        # What fails is tried again by who asked for it, not here.
        once = {"decode_responses": False, "health_check_interval": 0, "retry": Retry(NoBackoff(), 0)}
        self._options = options | once
        self.timeout = _seconds(options["socket_timeout"])
        try:
            self.client().connection_pool.make_connection()  # tells now what redis-py thinks of the options
        except (TypeError, ValueError, RedisError) as error:
            raise ConfigurationError(f"C2C_REDIS_OPTIONS (ini key c2c.redis_options): {mask(str(error))}") from None

    def client(self) -> Any:
        """Return a client with connections of its own, not connected yet."""
        options = dict(self._options)
        if self._sentinel is not None:
            return Client(connection_pool=_SentinelPool(self._service, self._sentinel, **options))
        tls = options.pop("ssl", False)
        options.setdefault("connection_class", SSLConnection if tls else Connection)
        return Client(connection_pool=_Pool(**options))


def _sentinels(settings: BroadcastSettings) -> Any:
    if not settings.redis_servicename:
        raise ConfigurationError(
            "C2C_REDIS_SENTINELS is set and C2C_REDIS_SERVICENAME (ini key c2c.redis_servicename) is not: "
            "give the name of the service that the sentinels watch"
        )
    # A sentinel that is away costs one attempt: the next one is asked, and all of them again soon.
    once = {"socket_timeout": TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    try:
        return _Sentinel(settings.redis_sentinels, sentinel_kwargs=once | (settings.redis_sentinel_options or {}))
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(
            f"C2C_REDIS_SENTINEL_OPTIONS (ini key c2c.redis_sentinel_options): {mask(str(error))}"
        ) from None


def _seconds(value: Any) -> float:
    if value is None:
        return TIMEOUT
    if isinstance(value, int | float) and value > 0:
        return float(value)
    raise ConfigurationError(
        f"C2C_REDIS_OPTIONS (ini key c2c.redis_options): socket_timeout is a number of seconds, not {value!r}"
    )


@functools.lru_cache(1024)  # at each broadcast, of entries that change every two seconds
def _parsed(data: bytes) -> Member:
    return Member.parse(data)


class SilentError(Exception):
    """Redis is connected and says nothing."""


@dataclass(slots=True)
class _Pending:
    """A request from its arrival until it is answered, or its sender was told that it is worked at."""

    id: int
    sender: str
    due: float
    ended: bool = False


class Redis:
    """This process among the members elsewhere. One thread listens; who asks or stores does it in its own thread."""

    def __init__(self, prefix: str, source: Source, me: Member, owner: "Broadcaster") -> None:
        self._source = source
        self._owner = owner
        self._me = me
        self._client = source.client()
        self._key = f"{prefix}members"
        self._ask_channel = f"{prefix}ask"
        self._prefix = prefix
        self._head = f'{{"family":"{me.family or me.id}",'
        self._worker = Worker("c2c-broadcast-redis", self._work)
        self._pubsub: Any = None
        self._deaf = False  # it may not subscribe
        self._tried: threading.Event | None = None  # set when the first connection was made, or was not
        self._clock = 0.0  # Redis's clock minus ours: the roster is in Redis's, so that hosts may disagree
        self._roster: dict[str, Member] = {}
        self._awaited: tuple[dict[str, Member], float] = ({}, 0.0)  # who was there before Redis was away, until when
        self._pending: deque[_Pending] = deque()
        self._next_beat = 0.0
        self._failures = 0
        self._joined = False
        self._suspect = (
            False  # a command had no reply in time: the listener makes a new connection, callers wait no more
        )
        self._warned = False
        self.refused: dict[str, str] = {}
        self.connected = False
        self.since = time.time()
        self.error: str | None = None

    # -- taking part --

    def start(self) -> None:
        """Start the listener; it connects by itself.

        Raises:
            RuntimeError: The system has no thread to give.
        """
        self._tried = threading.Event()
        if not self._worker.wake():
            raise RuntimeError("can't start new thread")

    def close(self) -> None:
        """Leave the roster and end the listener."""
        self._worker.close(timeout=1.0)

    def abandon(self) -> None:
        """In a forked child: close the copy of the socket that listens, without disturbing the parent."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None and pubsub.connection is not None:
            connection, pubsub.connection = pubsub.connection, None
            with contextlib.suppress(Exception):  # redis-py's own look at what another thread was doing to it
                connection.disconnect()

    @property
    def listening(self) -> bool:
        """Whether the listener's thread lives."""
        return self._worker.running

    def now(self) -> float:
        """Return the time of the roster's clock, Redis's."""
        return time.time() + self._clock

    # -- asking --

    def ask(self, call: Call, message: str) -> None:
        """Send a request to the members elsewhere, and tell the call whom to expect."""
        if not self._usable():
            call.whole = False
            return
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.publish(self._ask_channel, self._head + message[1:])
        pipe.hgetall(self._key)
        results = self._run(pipe, ["TIME", "PUBLISH", f"HGETALL {self._key}"])
        if results is None or results[1] is None or results[2] is None:
            call.whole = False
            return
        if self._deaf or f"HSET {self._key}" in self.refused:
            call.whole = False  # others can't answer this process, or don't know it
        call.begun = self._set_clock(results[0])
        others = self._others(results[2])
        call.expect(others)
        awaited, until = self._awaited
        if time.monotonic() < until:
            call.missing.update(
                (id_, one) for id_, one in awaited.items() if id_ not in self._roster and not self._dead(one)
            )
        if any(one.seen < call.begun - FRESH or one.joined > call.begun for one in others):
            self.check(call)

    def check(self, call: Call) -> None:
        """Judge the silent members: those that are gone, or that the request can't have reached, are not waited for."""
        silent = [one for id_, one in list(call.waiting.items()) if id_ in self._roster and id_ != self._me.id]
        results: list[Any] | None = None
        if self._usable():
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(self._key)
            results = self._run(pipe, [f"HGETALL {self._key}"])
        if results is None:
            call.whole = False
            for member in silent:
                call.give_up(member, missing=True)
            return
        known = dict(self._roster) if results[0] is None else {one.id: one for one in self._others(results[0])}
        present = self._present([one.id for one in silent])
        for member in silent:
            latest = known.get(member.id)
            if latest is None:
                call.give_up(member, missing=False)  # it left
            elif not present[member.id]:
                gone = self._dead(latest) or latest.seen < self.now() - FRESH
                call.give_up(member, missing=not gone)
                if gone:
                    self._forget(member.id)
            elif latest.joined > call.begun or latest.seen < self.now() - FRESH:
                call.give_up(member, missing=True)

    def members(self) -> list[Member]:
        """Return the members elsewhere, and forget those that ended."""
        if not self._usable():
            return []
        results = self._run(self._client.pipeline(transaction=False).hgetall(self._key), [f"HGETALL {self._key}"])
        if results is None or results[0] is None:
            return []
        found = self._others(results[0])
        gone = self._gone(found)
        return [one for one in found if one.id not in gone]

    # -- shared states --

    def load(self, state: str) -> dict[bytes, bytes] | None:
        """Return what is stored of a shared state; None where that can't be known."""
        client = self._source.client()  # of its own: this may be asked before anything is started
        try:
            found: dict[bytes, bytes] = client.hgetall(self._state_key(state))
        except (RedisError, OSError):
            return None
        finally:
            client.connection_pool.disconnect()
        return found

    def save(self, state: str, fields: Mapping[str, str], useless: list[bytes]) -> str | None:
        """Store fields of a shared state and remove others; return why that failed, None where it did not."""
        if not self._usable():
            return self.error or "Redis is away"
        key = self._state_key(state)
        pipe = self._client.pipeline(transaction=False)
        commands = []
        if fields:
            pipe.hset(key, mapping=dict(fields))
            commands.append(f"HSET {key}")
        if useless:
            pipe.hdel(key, *useless)
            commands.append(f"HDEL {key}")
        results = self._run(pipe, commands)
        if results is None:
            return self.error or "Redis is away"
        return next(
            (self.refused.get(name, "refused") for name, one in zip(commands, results, strict=True) if one is None),
            None,
        )

    def _state_key(self, state: str) -> str:
        return f"{self._prefix}state_{state}"

    # -- what callers' threads share --

    def _usable(self) -> bool:
        """Tell whether there is a connection; the first one is waited for, a moment."""
        if not self.connected and self._tried is not None:
            self._tried.wait(CONNECT_TIMEOUT)
        return self.connected and not self._suspect

    def _run(self, pipe: Any, commands: list[str]) -> list[Any] | None:
        """Run commands; a refused one is None and named in the log, once. None for all where Redis is away."""
        try:
            results = pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            self.error = mask(str(error))
            self._suspect |= isinstance(error, RedisTimeoutError)
            return None
        for index, (command, result) in enumerate(zip(commands, results, strict=True)):
            if isinstance(result, ResponseError):
                results[index] = None
                self._refuse(command, result)
            elif isinstance(result, Exception):
                return None
            elif self.refused.pop(command, None) is not None:
                _LOG.info("Redis takes %s again", command)
        return results  # type: ignore[no-any-return]

    def _refuse(self, command: str, error: Exception) -> None:
        new = command not in self.refused
        # redis-py takes the code off some errors' text (NOPERM, READONLY, OOM), and since 7.1 keeps it beside it.
        code = getattr(error, "status_code", None) or type(error).__name__
        self.refused[command] = mask(f"{error}" if f"{error}".startswith(code) else f"{code} {error}")
        if new:
            _LOG.warning(
                "Redis (%s) refuses %s: %s (the rest works)", self._source.name, command, self.refused[command]
            )

    def _set_clock(self, reply: Any) -> float:
        if reply is not None:
            self._clock = reply[0] + reply[1] / 1e6 - time.time()
        return self.now()

    def _others(self, reply: dict[bytes, bytes]) -> list[Member]:
        """Take the roster; return the members that are not of this family."""
        found = {}
        for data in reply.values():
            with contextlib.suppress(BadMessageError):
                member = _parsed(data)
                if member.id != self._me.id and not (member.family and member.family == self._me.family):
                    found[member.id] = member
        self._roster = found
        return list(found.values())

    def _present(self, ids: list[str]) -> dict[str, bool]:
        """Tell which members are connected; all are where Redis does not say."""
        if not ids:
            return {}
        pipe = self._client.pipeline(transaction=False)
        pipe.pubsub_numsub(*map(self._answer_channel, ids))
        results = self._run(pipe, ["PUBSUB NUMSUB"])
        if results is None or results[0] is None:
            return dict.fromkeys(ids, True)
        return {id_: bool(number) for id_, (_, number) in zip(ids, results[0], strict=True)}

    def _gone(self, members: list[Member]) -> set[str]:
        """Return the ids of those that ended, and take them off the roster."""
        old = self.now() - FRESH
        recovering = time.monotonic() < self._awaited[1]
        doubtful = [one for one in members if one.seen < old or self._dead(one)]
        present = self._present([one.id for one in doubtful])
        gone = {
            one.id
            for one in doubtful
            if one.seen < self.now() - FORGOTTEN or (not present[one.id] and not (recovering and one.seen >= old))
        }
        for id_ in gone:
            self._forget(id_)
        return gone

    def _dead(self, member: Member) -> bool:
        """Tell whether a member was of this host and has ended; unknown of other hosts."""
        return bool(self._me.machine) and member.machine == self._me.machine and not member.process.alive

    def _forget(self, id_: str) -> None:
        self._run(self._client.pipeline(transaction=False).hdel(self._key, id_), [f"HDEL {self._key}"])

    def _answer_channel(self, member: str) -> str:
        return f"{self._prefix}answer:{member}"

    # -- the listener's thread --

    def _work(self) -> float | None:
        delay = None
        try:
            if not self._worker.closing:
                self._join()
                self._serve()
                delay = 0.0  # it may not listen, and tries again
        except Exception as error:  # noqa: BLE001 # what is no Redis makes redis-py raise anything; this thread lives on
            delay = self._lost(error)
        finally:
            if self._tried is not None:
                self._tried.set()
        if self._worker.closing:
            if self.connected:
                self._forget(self._me.id)
            self.connected = False
        self._hang_up()
        return delay

    def _hang_up(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(Exception):  # it is of no use any more
                pubsub.close()

    def _join(self) -> None:
        """Subscribe, then say so in the roster: who is in it, is asked."""
        pubsub = self._pubsub = self._client.pubsub()
        deadline = time.monotonic() + CONNECT_TIMEOUT + self._source.timeout
        self._deaf = False
        channels = [self._ask_channel, self._answer_channel(self._me.id)]
        try:
            pubsub.subscribe(*channels)
            heard = 0
            while heard < len(channels):
                message = pubsub.get_message(timeout=_TICK)
                heard += message is not None and message["type"] == "subscribe"
                if time.monotonic() > deadline:
                    raise SilentError("it does not confirm subscriptions")
            self.refused.pop("SUBSCRIBE", None)
        except ResponseError as error:
            self._refuse("SUBSCRIBE", error)
            self._deaf = True
        results = self._run(self._client.pipeline(transaction=False).time(), ["TIME"])
        if results is None or not isinstance(results[0], tuple | None):
            raise SilentError(self.error or "it is no Redis")
        now = self._set_clock(results[0])
        self._me = replace(self._me, joined=now)
        self._suspect = False
        self.connected, self.since, self.error = True, time.time(), None
        self._beat()
        self._failures = 0
        self._joined = True
        if self._warned:
            self._warned = False
            _LOG.info("Redis (%s) is back", self._source.name)

    def _serve(self) -> None:
        heard = pinged = time.monotonic()
        while not self._worker.closing:
            if self._suspect:
                raise SilentError(self.error or "a command had no reply in time")
            message = None
            if self._deaf:
                time.sleep(_TICK)
            else:
                message = self._pubsub.get_message(timeout=_TICK)
            now = time.monotonic()
            if message is not None:
                heard = now
                self._on_message(message)
            if now >= self._next_beat:
                self._beat()
                if self._deaf:
                    return  # try to subscribe again
            self._say_working(now)
            if self._deaf:
                continue
            if now - heard > self._source.timeout + _PING:
                raise SilentError(f"it was silent for {now - heard:.1f} s")
            if now - max(heard, pinged) >= _PING:
                self._pubsub.ping()
                pinged = now

    def _lost(self, error: Exception) -> float:
        """Say that Redis is away, unless it is there again at once; return when to try again."""
        if self.connected:
            self._awaited = (dict(self._roster), time.monotonic() + RECOVERY)
            self.connected, self.since = False, time.time()
        self.error = mask(f"{error}" or type(error).__name__)
        self._failures += 1
        if self._failures < _ALARM and self._joined:
            return 0.1 * (self._failures - 1)  # a connection that was cut: the next one may be there at once
        if not self._warned:
            self._warned = True
            _LOG.warning(
                "Redis (%s) can't be used: %s. Other hosts are not reached; it is tried again.",
                self._source.name,
                self.error,
            )
        return _RETRY

    def _beat(self) -> None:
        """Give a sign of life, look who is there, and compare the shared states with what is stored."""
        keeper = self._owner.keeper
        states = [] if keeper is None else keeper.names()
        pipe = self._client.pipeline(transaction=False)
        pipe.hset(self._key, self._me.id, self._me.at(self.now()).dump())
        pipe.expire(self._key, _DAY)
        pipe.hgetall(self._key)
        commands = [f"HSET {self._key}", "EXPIRE", f"HGETALL {self._key}"]
        for state in states:
            pipe.hgetall(self._state_key(state))
            pipe.expire(self._state_key(state), 7 * _DAY)
            commands += [f"HGETALL {self._state_key(state)}", "EXPIRE"]
        results = self._run(pipe, commands)
        self._next_beat = time.monotonic() + HEARTBEAT
        if results is None:
            raise SilentError(self.error or "it takes no commands")
        if results[2] is not None:
            self._gone(self._others(results[2]))
        for state, stored in zip(states, results[3::2], strict=True):
            if stored is not None and keeper is not None and keeper.differs(state, stored):
                self._owner.run(f"merge {state}", functools.partial(keeper.merge, state, stored))

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["type"] != "message":
            return
        data = message["data"]
        if message["channel"].decode(errors="replace") != self._ask_channel:
            self._owner.take_answer(data)
        elif not data.startswith(self._head.encode()):
            pending = _Pending(0, "", time.monotonic() + _WORKING_AFTER)
            request = self._owner.take(data, functools.partial(self._reply, pending))
            if request is not None and request["answer"]:
                pending.id, pending.sender = request["id"], request["from"]
                self._pending.append(pending)

    def _reply(self, pending: _Pending, text: str, sender: str) -> None:
        pending.ended = True
        if text:
            self._run(self._client.pipeline(transaction=False).publish(self._answer_channel(sender), text), ["PUBLISH"])

    def _say_working(self, now: float) -> None:
        while self._pending and (self._pending[0].ended or self._pending[0].due <= now):
            one = self._pending.popleft()
            if not one.ended:
                text = f'{{"id":{one.id},"from":"{self._me.id}","working":true}}'
                self._reply(one, text, one.sender)
