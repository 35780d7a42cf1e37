"""Heavy calls: one at a time, with an end in time, asked of all processes."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyramid.httpexceptions import HTTPException, HTTPTooManyRequests

from c2c_broadcast import broadcast, json_error, mask
from c2c_broadcast.broadcast import Answers
from c2c_broadcast.process import at_fork

_SHORTEST_WAIT = 1


class BusyError(Exception):
    """Another heavy call is at work in this process."""


class Gate:
    """Lets one call in; parts of that call in other threads come in by its ``ticket``.

    ``name`` and ``seconds`` say what is inside and how long it may take at most.
    """

    def __init__(self) -> None:
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew: the parent's call is not the child's."""
        self._lock = threading.Lock()
        self._inside: list[str] = []
        self._ticket = ""
        self._name = ""
        self._ends = 0.0

    @contextmanager
    def enter(self, name: str, seconds: float, ticket: str = "") -> Iterator[str]:
        """Be the call, or a part of it, and yield its ticket.

        Raises:
            BusyError: Another one is inside.
        """
        ticket = ticket or secrets.token_hex(8)
        with self._lock:
            if self._inside and ticket != self._ticket:
                raise BusyError(f"{self._name} is at work in this process, for {self.remaining} s at most")
            if not self._inside:
                self._ticket, self._name, self._ends = ticket, name, time.monotonic() + seconds
            self._inside.append(name)
        try:
            yield ticket
        finally:
            with self._lock:
                self._inside.remove(name)

    @property
    def remaining(self) -> int:
        """In how many seconds the call inside ends, at the latest."""
        return max(_SHORTEST_WAIT, int(self._ends - time.monotonic()) + 1)

    @contextmanager
    def request(self, name: str, seconds: float) -> Iterator[str]:
        """Be the call of a view.

        Raises:
            HTTPTooManyRequests: Another one is inside; ``Retry-After`` says when it ends.
        """
        try:
            with self.enter(name, seconds) as ticket:
                yield ticket
        except BusyError as error:
            raise too_many(str(error), self.remaining) from None


def too_many(message: str, seconds: int) -> HTTPException:
    """Make the 429 to raise."""
    return json_error(
        HTTPTooManyRequests, f"One heavy call at a time: {message}; try again later", {"Retry-After": str(seconds)}
    )


LONGEST = 60.0
"""Seconds for which any tool may work."""


class Deadline:
    """``seconds`` from now; ``clock`` is a monotonic one."""

    def __init__(self, seconds: float = LONGEST, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def over(self) -> bool:
        """Tell whether it is over."""
        return self._clock() >= self._end


KEY = "c2c_debug.tools"
# Beyond the deadline of the work itself, for the way there and back and what cannot be interrupted.
_MARGIN = 10.0
_RETRY = 10


class Tools:
    """One application's tools, or a daemon's."""

    def __init__(self, masker: Any = mask, refuses_unknown: bool = True) -> None:
        self.masker = masker
        self.refuses_unknown = refuses_unknown
        self.gate = Gate()

    def ask(self, channel: str, params: dict[str, Any], seconds: float = LONGEST) -> Answers:
        """Ask all processes to do something heavy.

        Raises:
            HTTPTooManyRequests: One of them is at something heavy already.
        """
        answers = broadcast.ask(channel, params, timeout=seconds + _MARGIN)
        busy = next((failure for failure in answers.failed if failure.type == BusyError.__name__), None)
        if busy is not None:
            raise too_many(f"{busy.hostname}/{busy.pid}: {busy.message}", _RETRY)
        return answers


def tools_of(registry: Any) -> Tools:
    """Return the tools of an application that included the package."""
    found: Tools = registry[KEY]
    return found
