"""Calls in every process of a service."""

from c2c_broadcast.broadcast import broadcast, decorator, subscribe, unsubscribe
from c2c_compat._daemon import cleanup, take_part
from c2c_compat._include import including

__all__ = ["broadcast", "cleanup", "decorator", "includeme", "init", "subscribe", "unsubscribe"]

init = includeme = including("c2c_broadcast", take_part)
