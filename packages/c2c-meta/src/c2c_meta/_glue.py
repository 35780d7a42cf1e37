"""What joins two packages: the only place that knows two of them at once."""

from pyramid.config import Configurator


def join(config: Configurator, included: frozenset[str]) -> None:
    """Join those of the packages that take part in this application."""
