"""One heavy call at a time: whatever holds the interpreter or the memory for long."""

import os
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from pyramid.httpexceptions import HTTPException, HTTPTooManyRequests

from c2c_broadcast import json_error

_SHORTEST_WAIT = 1


class BusyError(Exception):
    """Another heavy call is at work in this process."""


class Gate:
    """Lets one call in; parts of that call in other threads come in by its ``ticket``.

    ``name`` and ``seconds`` say what is inside and how long it may take at most.
    """

    def __init__(self) -> None:
        self._begin()
        # The parent's call is not the child's.
        begin = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (living := begin()) and living())

    def _begin(self) -> None:
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
