"""The transport over Redis's publish/subscribe."""

from collections.abc import Iterable, Mapping
from typing import Any

from c2c_broadcast._answers import Health
from c2c_broadcast._base_settings import BroadcastSettings
from c2c_broadcast._call import Call
from c2c_broadcast._redis_link import Link, LinkDownError
from c2c_broadcast._redis_listener import Listener
from c2c_broadcast._redis_session import RedisSession
from c2c_broadcast._redis_source import Source
from c2c_broadcast._resp import ReplyError, pack
from c2c_broadcast._roster import Member, Verdict, judge
from c2c_broadcast._transport import Receiver

# Seconds for a reply when a caller waits for it.
_PATIENCE = 1.0


class RedisTransport:
    """Carries requests to all members with the same prefix on one Redis."""

    name = "redis"

    def __init__(self, settings: BroadcastSettings, source: Source, me: Member, receiver: Receiver) -> None:
        self._me = me
        self._session = RedisSession(settings.broadcast_prefix, me, receiver)
        self._listener = Listener(source, self._session)

    def start(self) -> None:
        """Start the listener; it connects by itself."""
        self._listener.start()

    def close(self) -> None:
        """Leave the roster and end the listener."""
        if self._listener.link is not None:
            self._command("HDEL", self._session.key, self._me.id)
        self._listener.stop()

    def abandon(self) -> None:
        """In a forked child: close the copy of the socket."""
        self._listener.abandon()

    def subscribe(self, channel: str) -> None:
        """Listen to a channel; when there is no connection the next one does."""
        link = self._listener.link
        if link is not None:
            try:
                self._session.subscribe(link, channel)
            except LinkDownError:
                return  # the next connection does it

    def unsubscribe(self, channel: str) -> None:
        """Listen to a channel no more."""
        link = self._listener.link
        if link is not None:
            try:
                self._session.unsubscribe(link, channel)
            except LinkDownError:
                return  # the next connection does not subscribe

    def send(self, channel: str, message: str) -> bool:
        """Send a request that wants no answer."""
        return self._post(self._listener.wait_link(), self._session.request_channel(channel), message)

    def answer(self, member: str, message: str) -> None:
        """Send an answer to a member."""
        self._post(self._listener.link, self._session.answer_channel(member), message)

    def ask(self, channel: str, message: str, call: Call) -> None:
        """Send a request; the reply says how many it reached, which tells whether the known roster is still right."""
        session = self._session
        link = self._listener.wait_link()
        if link is None:
            call.lost()
            return

        def on_count(reply: Any) -> None:
            if not isinstance(reply, int):
                call.lost()
                return
            # Replies and messages come in one order, so this is exact: our own ears were counted, or not.
            call.reached = reply - (channel in session.confirmed)
            fresh, silent = session.listening(channel)
            if call.reached == len(fresh) and not silent and not session.recovering:
                call.expect(fresh)
                return
            try:
                link.send((session.roster_command, on_roster))
            except LinkDownError:
                call.lost()

        def on_roster(reply: Any) -> None:
            if not isinstance(reply, list):
                call.lost()
                return
            session.roster.update(reply)
            fresh, doubtful = session.listening(channel)
            call.expect(fresh, doubtful + fresh if call.reached < len(fresh) else doubtful)

        try:
            link.send((pack("PUBLISH", session.request_channel(channel), message), on_count))
        except LinkDownError:
            call.lost()

    def check(self, call: Call, patience: float) -> None:
        """Ask Redis which of the silent members it is connected with; judge them."""
        self._session.take_roster(self._command("HGETALL", self._session.key, patience=patience))
        call.expect(self._session.listening(call.channel)[0])  # one may have been born in the place of another
        silent = {member.id: member for member in call.unanswered()} | call.doubtful
        silent.pop(self._me.id, None)
        for member, verdict in self._judge(list(silent.values()), patience):
            if verdict is Verdict.MISSING and self._has_left(member):
                call.give_up(member, missing=False)
                continue
            if verdict is Verdict.WAIT:
                call.trust(member)
            else:
                call.give_up(member, missing=verdict is Verdict.MISSING)

    def members(self) -> list[Member]:
        """Return all members, this one first, and forget the dead."""
        reply = self._command("HGETALL", self._session.key)
        if not isinstance(reply, list):
            return [self._me.at(self._session.now())]
        found = self._session.roster.update(reply)
        me = found.pop(self._me.id, self._me).at(self._session.now())
        others = [member for member, verdict in self._judge(list(found.values())) if verdict is not Verdict.GONE]
        return [me, *sorted(others, key=lambda member: (member.hostname, member.pid))]

    def load(self, state: str) -> list[bytes] | None:
        """Return what Redis holds of a shared state; None when there is no connection."""
        if self._listener.link is None:
            return None  # it comes with the connection
        reply = self._command("HGETALL", self._session.state_key(state))
        return reply if isinstance(reply, list) else None

    def save(self, state: str, fields: Mapping[str, str], superseded: Iterable[str]) -> bool:
        """Store fields of a shared state; what they supersede goes."""
        key = self._session.state_key(state)
        pairs = [part for pair in fields.items() for part in pair]
        if pairs and not isinstance(self._command("HSET", key, *pairs), int):
            return False
        old = list(superseded)
        return not old or isinstance(self._command("HDEL", key, *old), int)

    def health(self) -> Health:
        """Tell how the connection is."""
        listener = self._listener
        connected = listener.link is not None
        return Health("redis", True, connected, listener.since, listener.alive, 0, listener.error)

    def _has_left(self, member: Member) -> bool:
        """Tell whether a member is out of the roster, by itself, and not because Redis lost it."""
        return not self._session.recovering and member.id not in self._session.roster.members

    def _judge(self, members: list[Member], patience: float = _PATIENCE) -> list[tuple[Member, Verdict]]:
        if not members:
            return []
        session = self._session
        reply = self._command(
            "PUBSUB", "NUMSUB", *map(session.answer_channel, [member.id for member in members]), patience=patience
        )
        if not isinstance(reply, list):
            return [(member, Verdict.MISSING) for member in members]
        verdicts = [
            judge(member, self._me, session.now(), connected=bool(count), recovering=session.recovering)
            for member, count in zip(members, reply[1::2], strict=True)
        ]
        gone = [member.id for member, verdict in zip(members, verdicts, strict=True) if verdict is Verdict.GONE]
        if gone:
            self._command("HDEL", session.key, *gone)
        return list(zip(members, verdicts, strict=True))

    def _command(self, *arguments: bytes | str | float, patience: float = _PATIENCE) -> Any:
        """Return the reply, None when there is no connection (any more) or an error."""
        link = self._listener.wait_link()
        if link is None:
            return None
        try:
            reply = link.call(*arguments, timeout=min(patience, _PATIENCE))
        except LinkDownError:
            return None
        return None if isinstance(reply, ReplyError) else reply

    def _post(self, link: Link | None, channel: str, message: str) -> bool:
        if link is None:
            return False
        try:
            link.send((pack("PUBLISH", channel, message), None))
        except LinkDownError:
            return False
        return True
