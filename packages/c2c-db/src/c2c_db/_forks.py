"""What is to be made anew in a forked child: sockets and threads belong to one process."""

import os
import weakref
from collections.abc import Callable
from typing import Any


class _Forks:
    """Owners, held weakly, and what to do with each in a child of this process."""

    def __init__(self) -> None:
        self._owners: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()
        self._registered = False

    def add(self, owner: Any, renew: Callable[[Any], None]) -> None:
        """Call ``renew(owner)`` in each forked child, as long as ``owner`` lives."""
        if not self._registered:
            self._registered = True
            os.register_at_fork(after_in_child=self._renew)
        self._owners[owner] = renew

    def _renew(self) -> None:
        for owner, renew in tuple(self._owners.items()):
            renew(owner)


_FORKS = _Forks()


def after_fork(owner: Any, renew: Callable[[Any], None]) -> None:
    """Call ``renew(owner)`` in each child that this process forks, as long as ``owner`` lives."""
    _FORKS.add(owner, renew)
