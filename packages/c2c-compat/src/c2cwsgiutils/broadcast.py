"""Calls in every process of a service."""

from c2c_broadcast.broadcast import broadcast, decorator, subscribe, unsubscribe
from c2c_compat._initialising import cleanup_broadcast as cleanup
from c2c_compat._initialising import init_broadcast as includeme

__all__ = ["broadcast", "cleanup", "decorator", "includeme", "init", "subscribe", "unsubscribe"]

init = includeme
