"""What a sink received, filled by its thread and read by the test."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_TIMEOUT = 30.0


class Inbox(Generic[T]):
    """A list that another thread appends to, and that one can wait for."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Append one."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def all(self) -> list[T]:
        """Return what is there now, oldest first."""
        with self._changed:
            return list(self._items)

    def clear(self) -> None:
        """Forget what is there now."""
        with self._changed:
            self._items.clear()

    def wait(self, match: Callable[[T], bool] = lambda _: True, count: int = 1, timeout: float = _TIMEOUT) -> list[T]:
        """Wait for ``count`` items that match and return all that do.

        Raises:
            AssertionError: fewer came in ``timeout`` seconds; the message shows what is there
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(found := [item for item in self._items if match(item)]) < count:
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    there = "\n".join(map(repr, self._items)) or "nothing"
                    raise AssertionError(f"{len(found)} of {count} came in {timeout} s. What is there:\n{there}")
            return found
