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
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import redis
from redis import RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

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
_LEAST = 0.25  # seconds that Redis has for a reply, also where the caller has no time at all
_TICK = 0.25
_PING = 1.0
_RETRY = 0.5
_ALARM = 3  # so many attempts in a row have failed when it is said that a Redis that was there is away
_WORKING_AFTER = 0.3  # a callback that takes longer says that it is at work
_DAY = 86_400
# Options of redis-py's clients and pools, which deployments share with other code; a connection knows them not.
_OF_CLIENTS = ("max_connections", "single_connection_client", "auto_close_connection_pool", "timeout")
_ONCE = {"retry": Retry(NoBackoff(), 0)}  # what fails is tried again by who asked for it, not by redis-py
_NAMED = ("_",) if redis.VERSION < (5, 3) else ()  # before 5.3 pools want the name of a command

_PLAIN = (RedisError, ResponseError, redis.ConnectionError, redis.TimeoutError)

_PY: Any = redis  # it leaves some functions without types


class Source:
    """How to reach the Redis of the settings: by URL or by Sentinel, with the options of redis-py."""

    def __init__(self, settings: BroadcastSettings) -> None:
        # RESP 2 is what every server speaks, Sentinels too: redis-py 8 would begin with HELLO.
        times = {"socket_timeout": TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT, "protocol": 2}
        options: dict[str, Any] = {**times, "socket_keepalive": True}
        self.prefix = settings.broadcast_prefix
        self._sentinel: Any = None
        self._service = settings.redis_servicename or ""
        if settings.redis_sentinels:
            if not self._service:
                raise ConfigurationError(
                    "C2C_REDIS_SENTINELS is set and C2C_REDIS_SERVICENAME (ini key c2c.redis_servicename) is not: "
                    "give the name of the service that the sentinels watch"
                )
            # A sentinel that is away costs one attempt: the next one is asked, and all of them again soon.
            of_sentinels = times | _ONCE | (settings.redis_sentinel_options or {})
            with _named("redis_sentinel_options"):
                self._sentinel = _PY.Sentinel(settings.redis_sentinels, sentinel_kwargs=of_sentinels)
            hosts = ",".join(f"{host}:{port}" for host, port in settings.redis_sentinels)
            self.name = f"service {self._service} of the sentinels {hosts}"
            options["db"] = settings.redis_db
        else:
            url = settings.redis_url or ""
            self.name = mask(url.partition("?")[0])
            with _named("redis_url"):
                options |= _PY.connection.parse_url(url)
        options |= settings.redis_options or {}
        if "path" in options:
            del options["socket_keepalive"]
        for name in _OF_CLIENTS:
            options.pop(name, None)
        self._options = options | _ONCE | {"decode_responses": False, "health_check_interval": 0}
        with _named("redis_options"):
            timeout = options["socket_timeout"]
            if not (timeout is None or (isinstance(timeout, int | float) and timeout > 0)):
                raise ValueError(f"socket_timeout is a number of seconds, not {timeout!r}")
            self.timeout = float(timeout or TIMEOUT)
            self.client().connection_pool.make_connection()  # tells now what redis-py thinks of the options

    def client(self) -> Any:
        """Return a client with connections of its own, not connected yet."""
        options = dict(self._options)
        if self._sentinel is not None:
            return redis.Redis(connection_pool=_PY.SentinelConnectionPool(self._service, self._sentinel, **options))
        tls = options.pop("ssl", False)
        options.setdefault("connection_class", redis.SSLConnection if tls else redis.Connection)
        return redis.Redis(connection_pool=_PY.ConnectionPool(**options))

    def load(self, state: str) -> dict[bytes, bytes] | None:
        """Return what is stored of a shared state, before anything is started; None where that can't be known."""
        client = self.client()
        try:
            found: dict[bytes, bytes] = client.hgetall(f"{self.prefix}state_{state}")
        except (RedisError, OSError):
            return None
        finally:
            client.connection_pool.disconnect()
        return found


@contextlib.contextmanager
def _named(setting: str) -> Iterator[None]:
    """Name the setting that redis-py does not take."""
    try:
        yield
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(f"C2C_{setting.upper()} (ini key c2c.{setting}): {mask(str(error))}") from None


@functools.lru_cache(1024)  # at each broadcast, of entries that change every two seconds
def _parsed(data: bytes) -> Member:
    return Member.parse(data)


def _name(command: tuple[Any, ...]) -> str:
    """Return what log and health call a command: those of hashes with their key."""
    return f"{command[0]} {command[1]}" if command[0].startswith("H") else str(command[0])


def _said(error: Exception) -> str:
    """Return what an error says, masked, with its code (NOPERM, READONLY, OOM, LOADING)."""
    text, kind = str(error), type(error)
    # redis-py takes the code off the text of its own kinds of errors, and since 7.1 keeps it beside it.
    named = not text or (isinstance(error, RedisError) and kind not in _PLAIN)
    code = getattr(error, "status_code", None) or (kind.__name__ if named else "")
    return mask(text if text.startswith(code) else f"{code} {text}".strip())


@dataclass(slots=True)
class _Pending:
    """A request from its arrival until it is answered, or its sender was told that it is worked at."""

    id: int
    sender: str
    due: float
    ended: bool = False


class Redis:
    """This process among the members elsewhere. One thread listens; who asks or stores does it in its own thread."""

    def __init__(self, source: Source, me: Member, owner: "Broadcaster") -> None:
        self._source = source
        self._owner = owner
        self._me = me
        self._client = source.client()
        self._key = f"{source.prefix}members"
        self._ask_channel = f"{source.prefix}ask"
        self._head = f'{{"family":"{me.family or me.id}",'
        self._worker = Worker("c2c-broadcast-redis", self._work)
        self._pubsub: Any = None
        self._deaf = False  # it may not subscribe
        self._tried = threading.Event()  # set when the first connection was made, or was not
        self._clock = 0.0  # Redis's clock minus ours: the roster is in Redis's, so that hosts may disagree
        self._roster: dict[str, Member] = {}
        self._awaited: tuple[dict[str, Member], float] = ({}, 0.0)  # who was there before Redis was away, until when
        self._pending: deque[_Pending] = deque()
        self._next_beat = 0.0
        self._failures = _ALARM - 1  # in a row; that the first attempt fails is said at once
        # A command had no reply in time: the listener makes a new connection, callers wait no more.
        self._suspect = False
        self.refused: dict[str, str] = {}
        self.connected = False
        self.error: str | None = None

    # -- taking part --

    def start(self) -> None:
        """Start the listener, which connects by itself; RuntimeError where the system has no thread to give."""
        if not self._worker.wake():
            raise RuntimeError("can't start new thread")

    def close(self) -> None:
        self._tried.set()  # nobody waits for it any more
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
        return self._worker.running

    # -- asking --

    def ask(self, call: Call, message: str, timeout: float) -> None:
        """Send a request to the members elsewhere, and tell the call whom to expect."""
        end, whole = time.monotonic() + timeout, call.whole
        call.whole = False
        if not self._usable(timeout):
            return
        sent = self._run(("PUBLISH", self._ask_channel, self._head + message[1:]), timeout=timeout)
        if sent is None or sent[0] is None:
            return
        results = self._run(("TIME",), ("HGETALL", self._key), timeout=end - time.monotonic())
        if results is None or results[1] is None:
            return
        # Where it may not listen or tell of itself, others can't answer this process, or don't know it.
        call.whole = whole and not self._deaf and f"HSET {self._key}" not in self.refused
        call.begun = self._set_clock(results[0])
        others = self._others(results[1])
        call.expect(others)
        awaited, until = self._awaited
        if time.monotonic() < until:
            call.missing |= {
                id_: one for id_, one in awaited.items() if id_ not in self._roster and self._lives(one) is not False
            }
        if any(one.seen < call.begun - FRESH or one.joined > call.begun for one in others):
            self.check(call, end)

    def check(self, call: Call, end: float) -> None:
        """Judge the silent members: those that are gone, or that the request can't have reached, are not waited for."""
        silent = [one for id_, one in list(call.waiting.items()) if id_ in self._roster]
        results = self._run(("HGETALL", self._key), timeout=end - time.monotonic()) if self._usable(0.0) else None
        if results is None:
            call.whole = False
            for member in silent:
                call.give_up(member, missing=True)
            return
        known = dict(self._roster) if results[0] is None else {one.id: one for one in self._others(results[0])}
        absent = self._absent(silent)
        for member in silent:
            latest = known.get(member.id)
            old = latest is None or latest.seen < self._now() - FRESH
            away, lives = member.id in absent, self._lives(member)
            if latest is None or (away and (lives is False or (old and not lives))):
                call.give_up(member, missing=False)
                self._forget(member.id)
            elif away or old or latest.joined > call.begun:
                call.give_up(member, missing=True)

    def members(self) -> list[Member]:
        """Return the members elsewhere, and forget those that ended."""
        results = self._run(("HGETALL", self._key)) if self._usable() else None
        if results is None or results[0] is None:
            return []
        found = self._others(results[0])
        gone = self._forget_gone(found)
        return [one for one in found if one.id not in gone]

    def save(self, state: str, fields: Mapping[str, str], useless: list[bytes]) -> str | None:
        """Store fields of a shared state and remove others; return why that failed, None where it did not."""
        key = f"{self._source.prefix}state_{state}"
        commands: list[tuple[Any, ...]] = []
        if fields:
            commands.append(("HSET", key, *(text for pair in fields.items() for text in pair)))
        if useless:
            commands.append(("HDEL", key, *useless))
        results = self._run(*commands) if self._usable() else None
        if results is None:
            return self.error or "Redis is away"
        return next(
            (self.refused.get(_name(one)) for one, got in zip(commands, results, strict=True) if got is None), None
        )

    # -- what callers' threads share --

    def _usable(self, timeout: float = CONNECT_TIMEOUT) -> bool:
        """Tell whether there is a connection; the first one is waited for, a moment."""
        if not self.connected:
            self._tried.wait(min(timeout, CONNECT_TIMEOUT))
        return self.connected and not self._suspect

    def _run(self, *commands: tuple[Any, ...], timeout: float = math.inf) -> list[Any] | None:
        """Run commands; a refused one is None and named in the log, once. None for all where Redis is away."""
        patience = min(max(timeout, _LEAST), self._source.timeout)
        results: list[Any] = []
        try:
            if len(commands) == 1 and patience == self._source.timeout:
                # By redis-py's own door: what watches its commands (c2c-stats) sees this one, too.
                results.append(self._client.execute_command(*commands[0]))
            else:
                results += self._pipelined(commands, patience)
        except ResponseError as error:
            results.append(error)
        except (RedisError, OSError) as error:
            if patience == self._source.timeout or not isinstance(error, redis.TimeoutError):
                self.error = _said(error)
                self._suspect |= isinstance(error, redis.TimeoutError)
            return None
        for index, (command, result) in enumerate(zip(commands, results, strict=True)):
            if isinstance(result, ResponseError):
                results[index] = None
                self._refuse(_name(command), result)
            elif self.refused.pop(_name(command), None) is not None:
                _LOG.info("Redis takes %s again", _name(command))
        return results

    def _pipelined(self, commands: tuple[tuple[Any, ...], ...], patience: float) -> list[Any]:
        """Send commands at once and return their replies, refusals too; ``patience`` seconds for the first reply."""
        pool, results = self._client.connection_pool, []
        connection = pool.get_connection(*_NAMED)
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            if not connection.can_read(patience):
                raise redis.TimeoutError("a command had no reply in time")  # noqa: TRY301 # see below
            for command in commands:
                try:
                    results.append(self._client.parse_response(connection, command[0]))
                except ResponseError as error:
                    results.append(error)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)
        return results

    def _refuse(self, command: str, error: Exception) -> None:
        new = command not in self.refused
        why = self.refused[command] = _said(error)
        if new:
            _LOG.warning("Redis (%s) refuses %s: %s (the rest works)", self._source.name, command, why)

    def _now(self) -> float:
        """Return the time of the roster's clock, Redis's."""
        return time.time() + self._clock

    def _set_clock(self, reply: Any) -> float:
        if reply is not None:
            self._clock = reply[0] + reply[1] / 1e6 - time.time()
        return self._now()

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

    def _absent(self, members: Iterable[Member]) -> set[str]:
        """Return the ids of those that are not connected; none where Redis does not say."""
        ids = [one.id for one in members]
        results = self._run(("PUBSUB NUMSUB", *map(self._answer_channel, ids))) if ids else None
        if results is None or results[0] is None:
            return set()
        return {id_ for id_, (_, number) in zip(ids, results[0], strict=True) if not number}

    def _forget_gone(self, members: list[Member]) -> set[str]:
        """Take those that ended off the roster, and return their ids."""
        now = self._now()
        doubtful = [one for one in members if one.seen < now - FRESH or self._lives(one) is False]
        absent = self._absent(doubtful) - {one.id for one in doubtful if self._lives(one)}  # stopped, and cut off
        if time.monotonic() < self._awaited[1]:  # they are given time to come back
            absent -= {one.id for one in doubtful if one.seen >= now - FRESH}
        gone = absent | {one.id for one in doubtful if one.seen < now - FORGOTTEN}
        self._forget(*gone)
        return gone

    def _lives(self, member: Member) -> bool | None:
        """Tell whether the process of a member of this host lives; None of other hosts."""
        return member.process.alive if self._me.machine and member.machine == self._me.machine else None

    def _forget(self, *ids: str) -> None:
        if ids:
            self._run(("HDEL", self._key, *ids))

    def _answer_channel(self, member: str) -> str:
        return f"{self._source.prefix}answer:{member}"

    # -- the listener's thread --

    def _work(self) -> float | None:
        delay = None
        try:
            if not self._worker.closing:
                self._join()
                if self._deaf:  # it tries again, and gives a sign of life by that
                    delay = HEARTBEAT
                else:
                    self._serve()
        except Exception as error:  # noqa: BLE001 # what is no Redis makes redis-py raise anything; this thread lives on
            delay = self._lost(error)
        self._tried.set()
        if self._worker.closing:
            if self.connected:
                self._forget(self._me.id)
            self.connected = False
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(Exception):  # it is of no use any more
                pubsub.close()
        return delay

    def _join(self) -> None:
        """Subscribe, then say so in the roster: who is in it, is asked."""
        pubsub = self._pubsub = self._client.pubsub()
        deadline = time.monotonic() + CONNECT_TIMEOUT + self._source.timeout
        self._deaf, heard = False, 0
        try:
            pubsub.subscribe(self._ask_channel, self._answer_channel(self._me.id))
            while heard < 2:  # noqa: PLR2004 # channels
                message = pubsub.get_message(timeout=_TICK)
                heard += message is not None and message["type"] == "subscribe"
                if time.monotonic() > deadline:
                    raise RedisError("it does not confirm subscriptions")
            self.refused.pop("SUBSCRIBE", None)
        except ResponseError as error:
            self._refuse("SUBSCRIBE", error)
            self._deaf = True
        results = self._run(("TIME",))
        if results is None or not isinstance(results[0], tuple | None):
            raise RedisError(self.error or "it is no Redis")
        self._me = replace(self._me, joined=self._set_clock(results[0]))
        self.connected, self.error, self._suspect = True, None, False
        self._beat()
        if self._failures >= _ALARM:
            _LOG.info("Redis (%s) is back", self._source.name)
        self._failures = 0
        self._tried.set()

    def _serve(self) -> None:
        heard = pinged = time.monotonic()
        while not self._worker.closing:
            if self._suspect:
                raise RedisError(self.error or "a command had no reply in time")
            message = self._pubsub.get_message(timeout=_TICK)
            now = time.monotonic()
            if message is not None:
                heard = now
                self._on_message(message)
            if now >= self._next_beat:
                self._beat()
            self._say_working(now)
            if now - heard > self._source.timeout + _PING:
                raise RedisError(f"it was silent for {now - heard:.1f} s")
            if now - max(heard, pinged) >= _PING:
                self._pubsub.ping()
                pinged = now

    def _lost(self, error: Exception) -> float:
        """Say that Redis is away, unless it is there again at once; return when to try again."""
        if self.connected:
            self._awaited = (dict(self._roster), time.monotonic() + RECOVERY)
            self.connected = False
        self.error = _said(error)
        self._failures += 1
        if self._failures == _ALARM:
            _LOG.warning(
                "Redis (%s) can't be used: %s. Other hosts are not reached; it is tried again.",
                self._source.name,
                self.error,
            )
        # A connection that was cut: the next one may be there at once.
        return 0.1 * (self._failures - 1) if self._failures < _ALARM else _RETRY

    def _beat(self) -> None:
        """Give a sign of life, look who is there, and compare the shared states with what is stored."""
        states = dict(self._owner.states)
        me = replace(self._me, seen=self._now()).dump()
        commands = [("HSET", self._key, self._me.id, me), ("EXPIRE", self._key, _DAY), ("HGETALL", self._key)]
        for name in states:
            key = f"{self._source.prefix}state_{name}"
            commands += [("HGETALL", key), ("EXPIRE", key, 7 * _DAY)]
        results = self._run(*commands)
        self._next_beat = time.monotonic() + HEARTBEAT
        if results is None:
            raise RedisError(self.error or "it takes no commands")
        if results[2] is not None:
            self._forget_gone(self._others(results[2]))
        for (name, state), stored in zip(states.items(), results[3::2], strict=True):
            if stored is not None and state.differs(stored):
                self._owner.run(f"merge {name}", functools.partial(state.merge, stored))

    def _on_message(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message["type"] != "message":
            return
        if message["channel"].decode(errors="replace") != self._ask_channel:
            self._owner.take_answer(data)
        elif not data.startswith(self._head.encode()) and (request := self._owner.read(data)) is not None:
            pending = _Pending(request["id"], request["from"], time.monotonic() + _WORKING_AFTER)
            if request["answer"]:
                self._pending.append(pending)
            self._owner.take(request, self._me, functools.partial(self._reply, pending))

    def _reply(self, pending: _Pending, text: str) -> None:
        pending.ended = True
        if text:
            self._run(("PUBLISH", self._answer_channel(pending.sender), text))

    def _say_working(self, now: float) -> None:
        while self._pending and (self._pending[0].ended or self._pending[0].due <= now):
            one = self._pending.popleft()
            if not one.ended:
                self._reply(one, f'{{"id":{one.id},"from":"{self._me.id}","working":true}}')
