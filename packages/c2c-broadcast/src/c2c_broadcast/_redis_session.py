"""Being a member: what is sent when a connection is made, while it lasts, and what is known through it."""

import logging
import time
from typing import Any

from c2c_broadcast._redis_link import Link, LinkDownError
from c2c_broadcast._resp import Push, ReplyError, pack
from c2c_broadcast._roster import FRESH, HEARTBEAT, Member, Roster
from c2c_broadcast._transport import Receiver

_LOG = logging.getLogger(__name__)

# An idle connection is tried this often, so that a dead one is noticed soon.
_PING = 1.0
# After Redis was away, members are given so long to come back before they are forgotten.
RECOVERY = 4.0
# A service that is no more leaves nothing behind in Redis.
_EXPIRY = 86_400
_JOINING = 5.0
_PING_COMMAND = pack("PING")
_MESSAGE_LENGTH = 3


class RedisSession:
    """The names in Redis, this member's entry in the roster, and the roster as it was last seen."""

    def __init__(self, prefix: str, me: Member, receiver: Receiver) -> None:
        self.me = me
        self.key = f"{prefix}members"
        self.roster_command = pack("HGETALL", self.key)
        self._prefix = prefix
        self._receiver = receiver
        self._ask_prefix = f"{prefix}ask:"
        self._own_answers = self.answer_channel(me.id).encode()
        self._next_beat = 0.0
        self._next_ping = 0.0
        self._clock = 0.0  # Redis's clock minus ours: the roster is in Redis's, so that hosts may disagree
        self._joins = 0
        self._joined_at = 0.0
        self._complained: set[str] = set()
        self._stored: dict[str, list[bytes]] = {}
        self.roster = Roster()
        self.before: dict[str, Member] = {}
        self.confirmed: set[str] = set()

    def request_channel(self, channel: str) -> str:
        """Return the name in Redis of a channel."""
        return self._ask_prefix + channel

    def answer_channel(self, member: str) -> str:
        """Return the name in Redis of the channel to which a member is sent answers."""
        return f"{self._prefix}answer:{member}"

    def state_key(self, state: str) -> str:
        """Return the key in Redis of a shared state."""
        return f"{self._prefix}state_{state}"

    def now(self) -> float:
        """Return the time of the roster's clock, Redis's."""
        return time.time() + self._clock

    @property
    def recovering(self) -> bool:
        """Whether Redis was away a moment ago."""
        return self._joins > 1 and time.monotonic() - self._joined_at < RECOVERY

    def join(self, link: Link) -> None:
        """Make this process a member that hears its channels, and read the shared states."""
        self.confirmed.clear()
        states, channels = self._receiver.states(), self._receiver.channels()
        names = [self.answer_channel(self.me.id), *map(self.request_channel, channels)]
        commands = [
            pack("HELLO", 3),
            pack("TIME"),
            # First the ears, then the name: who is in the roster is asked. (SUBSCRIBE itself has no reply.)
            pack("SUBSCRIBE", *names) + self._entry(channels),
            self.roster_command,
            *(pack("HGETALL", self.state_key(state)) for state in states),
        ]
        replies: list[Any] = []
        link.send(*((command, replies.append) for command in commands))
        deadline = time.monotonic() + _JOINING
        while len(replies) < len(commands):
            if time.monotonic() > deadline:
                raise LinkDownError("Redis is too slow to greet")
            link.receive(self.on_message)
        if isinstance(replies[0], ReplyError):
            raise ReplyError(f"Redis 6 or later (or what else speaks RESP3) is needed: {replies[0]}")
        for reply in replies:
            if isinstance(reply, ReplyError | LinkDownError):
                raise reply
        self._set_clock(replies[1])
        self.take_roster(replies[3])
        self._stored = dict(zip(states, replies[4:], strict=True))

    def listening(self, channel: str) -> tuple[list[Member], list[Member]]:
        """Return the other members that listen to a channel: those lately seen, and those that are doubtful."""
        fresh: list[Member] = []
        doubtful: list[Member] = []
        oldest = self.now() - FRESH
        members = self.roster.members
        for member in members.values():
            if channel in member.channels and member.id != self.me.id:
                (fresh if member.seen >= oldest else doubtful).append(member)
        if self.recovering:
            doubtful += [
                member
                for member in self.before.values()
                if member.id not in members and channel in member.channels and member.id != self.me.id
            ]
        return fresh, doubtful

    def take_roster(self, reply: Any) -> None:
        """Take a reply to ``roster_command``."""
        if isinstance(reply, list):
            self.roster.update(reply)

    def joined(self, link: Link) -> None:
        """Begin to count time, and catch up with what was subscribed meanwhile."""
        self._joins += 1
        self._joined_at = time.monotonic()
        for channel in set(self._receiver.channels()) - self.confirmed:
            self.subscribe(link, channel)
        self._beat(link)
        # Not before the link is in use: what Redis lacks is sent through it.
        self._receiver.on_connected(self._stored)

    def left(self) -> None:
        """Remember who was there when Redis went away."""
        self.before = self.roster.members

    def subscribe(self, link: Link, channel: str) -> None:
        """Listen to a channel, and say so in the roster."""
        command = pack("SUBSCRIBE", self.request_channel(channel)) + self._entry(self._receiver.channels())
        link.send((command, self._complain))

    def unsubscribe(self, link: Link, channel: str) -> None:
        """Listen to it no more, and say so in the roster."""
        self.confirmed.discard(channel)
        command = self._entry(self._receiver.channels()) + pack("UNSUBSCRIBE", self.request_channel(channel))
        link.send((command, self._complain))

    def work(self, link: Link) -> None:
        """Give a sign of life when one is due."""
        self._receiver.on_tick()
        now = time.monotonic()
        if now >= self._next_beat:
            self._beat(link)
        elif now >= self._next_ping:
            link.send((_PING_COMMAND, None))
            self._next_ping = now + _PING

    def on_message(self, message: Push) -> None:
        """Take a message of Redis's publish/subscribe."""
        kind = message[0] if message else None
        if kind == b"message" and len(message) == _MESSAGE_LENGTH:
            if message[1] == self._own_answers:
                self._receiver.on_answer(message[2])
            else:
                self._receiver.on_request(self._channel(message[1]), message[2])
        elif kind == b"subscribe":
            self.confirmed.add(self._channel(message[1]))

    def _channel(self, name: bytes) -> str:
        return name.decode(errors="replace")[len(self._ask_prefix) :]

    def _entry(self, channels: list[str]) -> bytes:
        return pack("HSET", self.key, self.me.id, self.me.entry(self.now(), channels))

    def _beat(self, link: Link) -> None:
        link.send(
            (self._entry(self._receiver.channels()), self._complain),
            (pack("EXPIRE", self.key, _EXPIRY), self._complain),
            (pack("TIME"), self._set_clock),
            (self.roster_command, self.take_roster),
        )
        self._next_beat = time.monotonic() + HEARTBEAT
        self._next_ping = time.monotonic() + _PING

    def _set_clock(self, reply: Any) -> None:
        if isinstance(reply, list):
            self._clock = int(reply[0]) + int(reply[1]) / 1e6 - time.time()

    def _complain(self, reply: Any) -> None:
        if not isinstance(reply, ReplyError):
            return
        kind = str(reply).partition(" ")[0]
        if kind in {"READONLY", "MASTERDOWN"}:
            raise reply  # in the listener's thread: this server is no primary any more, so look for another
        if kind not in self._complained:
            self._complained.add(kind)
            _LOG.warning("Redis refuses what broadcasts need: %s", reply)
