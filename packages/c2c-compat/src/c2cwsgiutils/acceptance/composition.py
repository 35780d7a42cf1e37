"""Compositions of containers."""

from c2c_testing.composition import Composition

__all__ = ["Composition"]
