"""What must begin anew in a forked child, where no thread of the parent lives and a lock may be held for ever."""

import functools
import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something with threads or locks."""

    def after_fork(self) -> None:
        """Begin anew, in the child."""


_alive: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def watch(thing: Forkable) -> None:
    """Call ``thing.after_fork()`` in each child that is forked while ``thing`` lives."""
    _alive.add(thing)
    _register()


@functools.cache
def _register() -> None:
    def child() -> None:
        for thing in list(_alive):
            thing.after_fork()

    os.register_at_fork(after_in_child=child)
