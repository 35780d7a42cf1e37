"""Calls in every process of a service."""

from collections.abc import Mapping
from typing import Any

from c2c_broadcast.broadcast import broadcast, decorator, start, subscribe, unsubscribe
from c2c_broadcast.broadcast import init as configure
from c2c_compat._include import including

__all__ = ["broadcast", "cleanup", "decorator", "includeme", "init", "subscribe", "unsubscribe"]


def take_part(settings: Mapping[str, Any] | None = None) -> None:
    """Have this process call others, and answer them.

    Raises:
        ConfigurationError: A setting can't be read.
    """
    configure(settings)
    start()


def cleanup() -> None:
    """Do nothing: a forked worker connects by itself, uses nothing of the master's, and keeps subscriptions."""


init = includeme = including("c2c_broadcast", take_part)
