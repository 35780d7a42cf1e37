"""Heavy calls: one at a time in a process, with an end in time, asked of all processes."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyramid.httpexceptions import HTTPTooManyRequests

from c2c_broadcast import Answers, broadcast, json_error, mask
from c2c_broadcast.process import at_fork

KEY = "c2c_debug.tools"
LONGEST = 60.0
"""Seconds for which any tool may work."""

_MARGIN = 10.0  # beyond the deadline of the work: for the way there and back, and what can't be interrupted
_LATER = {"Retry-After": "10"}


class Tools:
    """What the heavy views of one application share, or of a daemon."""

    def __init__(self, masker: Any = mask, refuses_unknown: bool = True) -> None:
        self.masker = masker
        self.refuses_unknown = refuses_unknown
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin anew: the parent's call is not the child's."""
        self._lock = threading.Lock()
        self._inside = ""

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Be the one heavy call of this process, while it lasts.

        Raises:
            HTTPTooManyRequests: Another one is at work.
        """
        with self._lock:
            inside, self._inside = self._inside, self._inside or name
        if inside:
            message = f"{inside} is at work in this process; one heavy call at a time: try again later"
            raise json_error(HTTPTooManyRequests, message, _LATER)
        if name != "profile":  # of objects, those too that c2c-run's master had before its workers are to be seen
            gc.unfreeze()
        try:
            yield
        finally:
            self._inside = ""

    def ask(self, channel: str, params: dict[str, Any], seconds: float = LONGEST) -> Answers:
        """Ask all processes to do something heavy.

        Raises:
            HTTPTooManyRequests: One of them is at something heavy already.
        """
        answers = broadcast.ask(channel, params, timeout=seconds + _MARGIN)
        for one in answers.failed:
            if one.type == HTTPTooManyRequests.__name__:
                raise json_error(HTTPTooManyRequests, f"{one.hostname}/{one.pid}: {one.message}", _LATER)
        return answers


def tools_of(registry: Any) -> Tools:
    """Return the tools of an application that included the package."""
    found: Tools = registry[KEY]
    return found


def deadline(seconds: float = LONGEST, clock: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """Return what tells whether so many seconds are over; ``clock`` is a monotonic one."""
    end = clock() + seconds
    return lambda: clock() >= end
