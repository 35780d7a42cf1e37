"""How this process answers the others. All of it runs in the listener's thread, where nothing may wait."""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Protocol

from c2c_broadcast._answers import Failure
from c2c_broadcast._call import Call
from c2c_broadcast._callbacks import Callback, failure, run
from c2c_broadcast._executor import BusyError, Executor
from c2c_broadcast._messages import MAX_DEPTH, BadMessageError, decode_object, encode
from c2c_broadcast._roster import Member
from c2c_broadcast._transport import Transport

_LOG = logging.getLogger(__name__)

# A callback that takes longer says that it is at work, so that a busy process is told from a stopped one.
_WORKING_AFTER = 0.3
_REAP = 30.0
_MOST_COMPLAINTS = 100


def request_head(member: str) -> str:
    """Return how each request of a member begins, so that it knows the echo of its own without reading it."""
    return f'{{"from":"{member}","id":'


class StateMerger(Protocol):
    """The shared states, as far as they are needed here."""

    def names(self) -> list[str]:
        """Return their names."""

    def merge(self, name: str, held: list[bytes]) -> None:
        """Take what Redis holds of one."""


class _Request:
    """A request of another process, from its arrival to its answer."""

    __slots__ = ("due", "ended", "id", "sender")

    def __init__(self, id_: int, sender: str) -> None:
        self.id = id_
        self.sender = sender
        self.due = time.monotonic() + _WORKING_AFTER
        self.ended = False


class Answering:
    """What a transport reports to. ``callbacks``, ``states`` and ``calls`` belong to others and change meanwhile."""

    transport: Transport

    def __init__(
        self,
        me: Member,
        executor: Executor,
        callbacks: Mapping[str, Callback],
        states: StateMerger,
        calls: Mapping[int, Call],
    ) -> None:
        self._me = me
        self._executor = executor
        self._callbacks = callbacks
        self._states = states
        self._calls = calls
        self._requests: deque[_Request] = deque()
        self._complaints: set[str] = set()
        self._mine = request_head(me.id).encode()
        self._reap_at = time.monotonic() + _REAP

    def on_request(self, channel: str, data: bytes) -> None:
        """Take a request of another process: hand it to the executor."""
        if data.startswith(self._mine):
            return
        try:
            message = decode_object(data, **{"id": int, "from": str, "params": dict, "depth": int, "answer": bool})
        except BadMessageError as error:
            self._complain(f"A broadcast on the channel {channel!r} is dropped: {error}")
            return
        callback = self._callbacks.get(channel)
        if callback is None:
            self._complain(f"A broadcast on the channel {channel!r} is dropped: nothing is subscribed to it")
            return
        request = _Request(message["id"], message["from"])
        wants_answer = message["answer"]

        def job() -> None:
            answer = run(channel, callback, message["params"], self._me)
            request.ended = True
            if wants_answer:
                self._answer(request, answer)

        try:
            self._executor.submit(channel, job, min(max(message["depth"], 1), MAX_DEPTH))
        except BusyError as error:
            if wants_answer:
                self._answer(request, failure(self._me, error))
            else:
                self._complain(f"A broadcast on the channel {channel!r} is dropped: {error}")
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
        for name, held in stored.items():
            self._submit(f"merge {name}", partial(self._states.merge, name, held))

    def on_tick(self) -> None:
        """Say of callbacks that take long that they are at work; now and then look for dead members."""
        now = time.monotonic()
        if now >= self._reap_at:
            # Of many members one does it, every now and then.
            self._reap_at = now + _REAP * random.uniform(1, 3)  # noqa: S311 # no secret
            self._submit("reap", self._reap)
        while self._requests:
            request = self._requests[0]
            if not request.ended:
                if request.due > now:
                    return
                self.transport.answer(request.sender, f'{{"id":{request.id},"from":"{self._me.id}","working":true}}')
            self._requests.popleft()

    def channels(self) -> list[str]:
        """Return what is subscribed."""
        return list(self._callbacks)

    def states(self) -> list[str]:
        """Return the names of the shared states."""
        return self._states.names()

    def _answer(self, request: _Request, answer: str | Failure) -> None:
        text = f'"failure":{encode(asdict(answer))}' if isinstance(answer, Failure) else f'"answer":{answer}'
        self.transport.answer(request.sender, f'{{"id":{request.id},"from":"{self._me.id}",{text}}}')

    def _reap(self) -> None:
        self.transport.members()

    def _submit(self, what: str, job: Callable[[], None]) -> None:
        try:
            self._executor.submit(f"\0{what}", job)  # no channel has such a name
        except BusyError:
            _LOG.warning("No thread is free to %s", what)

    def _complain(self, text: str) -> None:
        """Log a text the first time that it comes up."""
        if text not in self._complaints and len(self._complaints) < _MOST_COMPLAINTS:
            self._complaints.add(text)
            _LOG.warning("%s", text)
