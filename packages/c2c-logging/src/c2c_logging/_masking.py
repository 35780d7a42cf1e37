"""The masker of the process: handlers are built before, and outlive, any application."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from c2c_broadcast import Masker


class ProcessMasker:
    """Hide the secrets of the environment and of every application in the process.

    ``mask`` is the function that does, made when it is first used; ``version`` grows with what it knows.
    """

    __slots__ = ("_sources", "mask", "version")

    def __init__(self) -> None:
        self._sources: list[Mapping[str, Any]] = []
        self.mask: Callable[[str], str] = self._first
        self.version = 0

    def learn(self, settings: Mapping[str, Any]) -> None:
        """Hide the secrets of these settings too."""
        known = dict(settings)
        if known not in self._sources:
            self._sources = [*self._sources, known]
            self.mask = self._first
            self.version += 1

    def _first(self, text: str) -> str:
        # A line has limits of its own.
        self.mask = partial(Masker.of(*self._sources, os.environ), limit=None)
        return self.mask(text)


MASKING = ProcessMasker()
"""The one of this process."""
