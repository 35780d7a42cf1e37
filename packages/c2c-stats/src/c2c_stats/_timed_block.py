"""A ``with`` block that is timed."""

from collections.abc import Callable
from time import perf_counter


class TimedBlock:
    """Hand the seconds that a ``with`` block took to a function; those of one that raises are dropped."""

    __slots__ = ("_observe", "_start")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is None:
            self._observe(perf_counter() - self._start)
