"""An end in time for work that looks at many things."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")

LONGEST = 60.0
"""Seconds for which any tool may work."""

_EVERY = 256


class Deadline:
    """``seconds`` from now; ``clock`` is a monotonic one."""

    def __init__(self, seconds: float = LONGEST, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self.passed = False

    def over(self) -> bool:
        """Tell whether it is over; once it was, ``passed`` says so."""
        self.passed = self.passed or self._clock() >= self._end
        return self.passed

    def each(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield the items as long as there is time."""
        for count, item in enumerate(items):
            if count % _EVERY == 0 and self.over():
                return
            yield item
