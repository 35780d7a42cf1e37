"""This process while it takes part: how it asks the others."""

import math
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from c2c_broadcast._answering import Answering, StateMerger, request_head
from c2c_broadcast._answers import Answers, Failure
from c2c_broadcast._call import Call
from c2c_broadcast._callbacks import Callback, failure, run
from c2c_broadcast._errors import BroadcastError
from c2c_broadcast._executor import BusyError, Executor
from c2c_broadcast._messages import MAX_DEPTH, UnsendableError, decode, encode
from c2c_broadcast._roster import Member
from c2c_broadcast._transport import Receiver, Transport

_LONGEST_NAME = 200
# While a caller waits, members that died meanwhile are looked for so often (seconds).
_FIRST_CHECK = 0.1
_CHECK = 0.5


class Node:
    """One member, from start to close. ``callbacks`` are those of the broadcaster, which may change meanwhile."""

    def __init__(
        self,
        me: Member,
        callbacks: Mapping[str, Callback],
        states: StateMerger,
        transport: Callable[[Member, Receiver], Transport],
    ) -> None:
        self.me = me
        self.executor = Executor()
        self._callbacks = callbacks
        self._ids = count(1)
        self._head = request_head(me.id)
        self._calls: dict[int, Call] = {}
        answering = Answering(me, self.executor, callbacks, states, self._calls)
        self.transport = answering.transport = transport(me, answering)

    def ask(self, channel: str, params: Mapping[str, Any], timeout: float, *, others: bool = True) -> Answers:
        """Send a request and collect the answers; with ``others=False`` only this process's own is waited for."""
        channel = checked_channel(channel)
        _check_timeout(channel, timeout)
        if not isinstance(params, Mapping):
            raise BroadcastError(
                f"broadcast channel {channel!r}: its parameters go by name, in a dict: {params!r:.200}"
            )
        depth = self.executor.depth + 1
        if depth > MAX_DEPTH:
            raise BroadcastError(
                f"broadcast channel {channel!r}: {MAX_DEPTH} callbacks are nested: one of them asks for itself"
            )
        try:
            text = encode(dict(params))
        except UnsendableError as error:
            raise BroadcastError(f"broadcast channel {channel!r}: its parameters: {error}") from None
        deadline = time.monotonic() + timeout
        id_ = next(self._ids)
        call = self._calls[id_] = Call(channel)
        try:
            callback = self._callbacks.get(channel)
            if callback is not None:
                call.expected[self.me.id] = self.me
            message = self._message(id_, text, depth, answer=others)
            if others:
                self.transport.ask(channel, message, call)
            else:
                self.transport.send(channel, message)
                call.expect(())
            if callback is not None:
                self._run_own(call, callback, text, depth)
            self._wait(call, deadline)
        finally:
            del self._calls[id_]
        return self._result(call)

    def tell(self, channel: str, params: Mapping[str, Any]) -> None:
        """Send a request that wants no answer, to the other processes only."""
        self.transport.send(channel, self._message(0, encode(dict(params)), 1, answer=False))

    def _message(self, id_: int, params: str, depth: int, *, answer: bool) -> str:
        wants = "true" if answer else "false"
        return f'{self._head}{id_},"depth":{depth},"answer":{wants},"params":{params}}}'

    def _run_own(self, call: Call, callback: Callback, text: str, depth: int) -> None:
        def job() -> None:
            answer = run(call.channel, callback, decode(text), self.me)
            if isinstance(answer, Failure):
                call.add_failure(self.me.id, answer)
            else:
                call.add_answer(self.me.id, decode(answer))

        try:
            self.executor.submit(call.channel, job, depth)
        except BusyError as error:
            call.add_failure(self.me.id, failure(self.me, error))
        else:
            call.add_working(self.me.id)

    def _wait(self, call: Call, deadline: float) -> None:
        interval = _FIRST_CHECK
        while not call.done:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            call.wait(min(remaining, interval))
            interval = _CHECK
            if not call.healthy:
                for member in call.unanswered():
                    if member.id != self.me.id:
                        call.give_up(member, missing=True)
            elif not call.done and call.known:
                self.transport.check(call, max(deadline - time.monotonic(), 0.01))

    def _result(self, call: Call) -> Answers:
        silent = call.unanswered() + list(call.doubtful.values())
        late = {member.id: member for member in silent if member.id in call.working}
        missing = call.missing | {member.id: member for member in silent if member.id not in late}
        return Answers(
            answers=list(call.answers),
            failed=list(call.failed),
            missing=[member.missing() for member in missing.values()],
            late=[member.missing() for member in late.values()],
            complete=call.healthy and call.known and not missing and not late,
        )


def checked_channel(channel: str) -> str:
    """Return the name of a channel.

    Raises:
        BroadcastError: It is no short text.
    """
    if not isinstance(channel, str) or not channel or len(channel) > _LONGEST_NAME or not channel.isprintable():
        raise BroadcastError(f"a broadcast channel's name is 1 to 200 printable characters, not {channel!r:.220}")
    return channel


def _check_timeout(channel: str, timeout: float) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout):
        raise BroadcastError(f"broadcast channel {channel!r}: timeout is a number of seconds, not {timeout!r:.50}")
