"""The masker of the process: handlers are built before, and outlive, any application."""

import os
from collections.abc import Mapping
from typing import Any

from c2c_broadcast import Masker


class ProcessMasker:
    """Hide the secrets of the environment and of every application in the process."""

    def __init__(self) -> None:
        self._sources: list[Mapping[str, Any]] = []
        self.version = 0  # what was masked before belongs to the version before
        self._masker: Masker | None = None

    def learn(self, settings: Mapping[str, Any]) -> None:
        """Hide the secrets of these settings too."""
        known = dict(settings)
        if known not in self._sources:
            self._sources = [*self._sources, known]
            self._masker = None
            self.version += 1

    @property
    def masker(self) -> Masker:
        """The masker, made at first use."""
        masker = self._masker
        if masker is None:
            masker = self._masker = Masker.of(*self._sources, os.environ)
        return masker


MASKING = ProcessMasker()
"""The one of this process."""
