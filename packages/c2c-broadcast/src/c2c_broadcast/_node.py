"""This process while it takes part: it asks others, and answers them."""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from typing import Any

from c2c_broadcast._answers import Answers, Failure
from c2c_broadcast._call import Call
from c2c_broadcast._callbacks import Callback, failure, run
from c2c_broadcast._errors import BroadcastError
from c2c_broadcast._executor import BusyError, Executor
from c2c_broadcast._messages import BadMessageError, UnsendableError, decode, decode_object, encode
from c2c_broadcast._roster import Member
from c2c_broadcast._transport import Receiver, Transport

_LOG = logging.getLogger(__name__)

# A callback that takes longer says that it is at work, so that a busy process is told from a stopped one.
_WORKING_AFTER = 0.3
# While a caller waits, members that died meanwhile are looked for this often.
_FIRST_CHECK = 0.1
_CHECK = 0.5
_DEEPEST = 5
_MOST_COMPLAINTS = 100
_REAP = 30.0


class _Request:
    """A request of another process, from its arrival to its answer."""

    __slots__ = ("due", "ended", "id", "sender")

    def __init__(self, id_: int, sender: str) -> None:
        self.id = id_
        self.sender = sender
        self.due = time.monotonic() + _WORKING_AFTER
        self.ended = False


class Node:
    """One member, from start to close. ``callbacks`` are those of the broadcaster, which may change meanwhile."""

    def __init__(
        self,
        me: Member,
        callbacks: Mapping[str, Callback],
        states: Mapping[str, Callable[[list[bytes]], None]],
        transport: Callable[[Member, Receiver], Transport],
    ) -> None:
        self.me = me
        self.executor = Executor()
        self._callbacks = callbacks
        self._states = states
        self._ids = count(1)
        self._calls: dict[int, Call] = {}
        self._requests: deque[_Request] = deque()
        self._complaints: set[str] = set()
        self._reap_at = time.monotonic() + _REAP
        self.transport = transport(me, self)

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(self, channel: str, params: Mapping[str, Any], timeout: float, *, others: bool = True) -> Answers:
        """Send a request and collect the answers; with ``others=False`` only this process's own is waited for."""
        depth = self.executor.depth + 1
        if depth > _DEEPEST:
            raise BroadcastError(
                f"broadcast channel {channel!r}: {_DEEPEST} callbacks are nested: one of them asks for itself"
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
            wants = "true" if others else "false"
            head = f'{{"id":{id_},"from":"{self.me.id}","depth":{depth},"answer":{wants}'
            message = f'{head},"params":{text}}}'
            if others:
                self.transport.ask(channel, message, call)
            else:
                self.transport.send(channel, message)
                call.expect(())
            if callback is not None:
                self._run_own(call, callback, text, depth)
            with self.executor.waiting():
                self._wait(call, deadline)
        finally:
            del self._calls[id_]
        return self._result(call)

    def _run_own(self, call: Call, callback: Callback, text: str, depth: int) -> None:
        def job() -> None:
            self.executor.depth = depth
            answer = run(call.channel, callback, decode(text), self.me)
            if isinstance(answer, Failure):
                call.add_failure(self.me.id, answer)
            else:
                call.add_answer(self.me.id, decode(answer))

        try:
            self.executor.submit(call.channel, job)
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

    # -- answering: all of this in the listener's thread, where nothing may wait ---------------------------------------

    def on_request(self, channel: str, data: bytes) -> None:
        """Take a request of another process: hand it to the executor."""
        try:
            message = decode_object(data, **{"id": int, "from": str, "params": dict, "depth": int, "answer": bool})
        except BadMessageError as error:
            self._complain(f"A broadcast on the channel {channel!r} is dropped: {error}")
            return
        if message["from"] == self.me.id:
            return
        callback = self._callbacks.get(channel)
        if callback is None:
            self._complain(f"A broadcast on the channel {channel!r} is dropped: nothing is subscribed to it")
            return
        request = _Request(message["id"], message["from"])
        wants_answer = message["answer"]

        def job() -> None:
            self.executor.depth = message["depth"]
            answer = run(channel, callback, message["params"], self.me)
            request.ended = True
            if wants_answer:
                self._answer(request, answer)

        try:
            self.executor.submit(channel, job)
        except BusyError as error:
            if wants_answer:
                self._answer(request, failure(self.me, error))
        else:
            if wants_answer:
                self._requests.append(request)

    def on_answer(self, data: bytes) -> None:
        """Take an answer; one to a call that has ended is dropped."""
        try:
            message = decode_object(data, **{"id": int, "from": str})
            call = self._calls.get(message["id"])
            if call is None:
                return
            if "answer" in message:
                call.add_answer(message["from"], message["answer"])
            elif "failure" in message:
                call.add_failure(message["from"], Failure(**message["failure"]))
            else:
                call.add_working(message["from"])
        except (BadMessageError, TypeError) as error:
            self._complain(f"An answer to a broadcast is dropped: {error}")

    def on_connected(self, stored: Mapping[str, list[bytes]]) -> None:
        """Take what Redis holds of the shared states."""
        for name, fields in stored.items():
            merge = self._states.get(name)
            if merge is not None:
                self._submit("merge", lambda merge=merge, fields=fields: merge(fields))  # type: ignore[misc] # defaults bind

    def on_tick(self) -> float:
        """Say of callbacks that take long that they are at work; now and then look for dead members."""
        now = time.monotonic()
        if now >= self._reap_at:
            # One member of many does it each time, more or less.
            self._reap_at = now + _REAP * random.uniform(1, 3)  # noqa: S311 # no secret
            self._submit("reap", self._reap)
        while self._requests:
            request = self._requests[0]
            if not request.ended:
                if request.due > now:
                    return request.due - now
                self.transport.answer(request.sender, f'{{"id":{request.id},"from":"{self.me.id}","working":true}}')
            self._requests.popleft()
        return _REAP

    def channels(self) -> list[str]:
        """Return what is subscribed."""
        return list(self._callbacks)

    def states(self) -> list[str]:
        """Return the names of the shared states."""
        return list(self._states)

    def _answer(self, request: _Request, answer: str | Failure) -> None:
        text = f'"failure":{encode(asdict(answer))}' if isinstance(answer, Failure) else f'"answer":{answer}'
        self.transport.answer(request.sender, f'{{"id":{request.id},"from":"{self.me.id}",{text}}}')

    def _reap(self) -> None:
        self.transport.members()

    def _submit(self, what: str, job: Callable[[], None]) -> None:
        try:
            self.executor.submit(f"\0{what}", job)
        except BusyError:
            _LOG.debug("No thread is free to %s; next time", what)

    def _complain(self, text: str) -> None:
        """Log a text the first time that it comes up."""
        if text not in self._complaints and len(self._complaints) < _MOST_COMPLAINTS:
            self._complaints.add(text)
            _LOG.warning("%s", text)
