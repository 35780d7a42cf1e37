"""A profile of a function or a block, into a file."""

import cProfile
import pstats
import sys
from contextlib import ContextDecorator
from pathlib import Path
from types import TracebackType
from typing import Self


class Profile(ContextDecorator):
    """Write a profile of what is decorated, or of a ``with`` block, into a file that ``pstats`` reads.

    Args:
        path: the file, ``.prof``
        print_number: how many functions to print, those with the most cumulative time
    """

    def __init__(self, path: str | Path, print_number: int = 0) -> None:
        self._path = Path(path)
        self._print_number = print_number
        self._running: list[cProfile.Profile] = []

    def __enter__(self) -> Self:
        """Begin; not within another profile of the same thread."""
        profile = cProfile.Profile()
        profile.enable()
        self._running.append(profile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and write."""
        profile = self._running.pop()
        profile.disable()
        profile.dump_stats(self._path)
        if self._print_number:
            pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(self._print_number)
