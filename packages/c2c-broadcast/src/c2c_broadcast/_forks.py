"""What must begin anew in a forked child."""

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something with threads, locks or sockets, which a fork breaks."""

    def after_fork(self) -> None:
        """Begin anew, in the child."""


class _Forks:
    """All that is to be told; the hook itself can be registered only once a process, and never taken back."""

    def __init__(self) -> None:
        self._watched: WeakSet[Forkable] = WeakSet()
        self._registered = False

    def watch(self, thing: Forkable) -> None:
        """Call ``thing.after_fork()`` in every forked child from now on, as long as ``thing`` lives."""
        self._watched.add(thing)
        if not self._registered:
            self._registered = True
            os.register_at_fork(after_in_child=self._in_child)

    def _in_child(self) -> None:
        for thing in list(self._watched):
            thing.after_fork()


forks = _Forks()
