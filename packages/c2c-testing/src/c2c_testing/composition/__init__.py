"""The services that a test run needs, as containers (``Composition``) or as local processes (``LocalComposition``)."""

from c2c_testing.composition._compose import CommandError, Composition, ContainerDiedError
from c2c_testing.composition._local import LocalComposition

__all__ = ["CommandError", "Composition", "ContainerDiedError", "LocalComposition"]
