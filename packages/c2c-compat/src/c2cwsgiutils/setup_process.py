"""Importing this sets a script or a daemon up: logging, Sentry, metrics, broadcasts."""

from c2c_compat._setup import set_up

__all__: list[str] = []

set_up()
