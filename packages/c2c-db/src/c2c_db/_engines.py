"""Make engines: named, with connect limits, and safe over a fork."""

import os
import weakref
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, engine_from_config
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from c2c_broadcast import ConfigurationError, mask
from c2c_db._url import hosts_of

CONNECT_LIMIT = 3
"""Seconds that a connection to PostgreSQL may take to be made, where neither URL nor options say otherwise."""
# Milliseconds until data that nobody acknowledges end a connection (libpq): an unplugged server is noticed.
_UNACKNOWLEDGED_LIMIT = 10_000


class _ForkedEngines:
    """The engines of this process. In a forked child each gets a new pool: a socket belongs to one process."""

    def __init__(self) -> None:
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._registered = False

    def add(self, engine: Engine) -> None:
        """Watch over an engine as long as it lives."""
        if not self._registered:
            self._registered = True
            os.register_at_fork(after_in_child=self._renew)
        self._engines.add(engine)

    def _renew(self) -> None:
        for engine in tuple(self._engines):
            engine.dispose(close=False)  # the parent's connections stay the parent's


_FORKED = _ForkedEngines()


def make_engine(url: URL, name: str, options: Mapping[str, Any], *, writable: bool) -> Engine:
    """Return the engine ``name``; ``options`` are create_engine's, as values or as the texts of an ini file.

    The name stands in SQLAlchemy's logs, in ``engine.logging_name`` and in ``engine.c2c_name``. For PostgreSQL,
    connecting is limited to ``CONNECT_LIMIT``, and a ``writable`` engine of a URL with several hosts connects to the
    one that takes writes.

    Raises:
        ConfigurationError: The URL's dialect is unknown, or an option is.
    """
    options = dict(options)
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {**_connect_args(url, writable=writable), **options.get("connect_args", {})}
    options.setdefault("logging_name", name)
    options.setdefault("pool_logging_name", name)
    settings = {f"engine.{key}": value for key, value in options.items()}
    try:
        engine = engine_from_config({**settings, "engine.url": url}, "engine.")
    except (ArgumentError, NoSuchModuleError, ImportError, TypeError, ValueError) as error:
        raise ConfigurationError(f"database {name}: {mask(str(error))}") from None
    engine.c2c_name = name  # type: ignore[attr-defined] # for those who label what they measure
    _FORKED.add(engine)
    return engine


def engine_name(engine: Engine) -> str:
    """Return the name of an engine: ``sqlalchemy``, ``sqlalchemy_slave``, ..."""
    return str(engine.logging_name)


def _connect_args(url: URL, *, writable: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_LIMIT,
        "tcp_user_timeout": _UNACKNOWLEDGED_LIMIT,
    }
    if writable and hosts_of(url):
        # Of several hosts, libpq takes the one that is no standby: after a fail-over, another one.
        arguments["target_session_attrs"] = "read-write"
    return {key: value for key, value in arguments.items() if key not in url.query}
