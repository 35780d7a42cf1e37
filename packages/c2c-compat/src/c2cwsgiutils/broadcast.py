"""Calls in every process of a service."""

from c2c_broadcast.broadcast import broadcast, decorator, subscribe, unsubscribe
from c2c_compat._initialising import init_broadcast as init

__all__ = ["broadcast", "decorator", "init", "subscribe", "unsubscribe"]
