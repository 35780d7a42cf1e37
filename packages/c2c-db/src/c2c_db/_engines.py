"""Make engines: named, with connect limits, and safe over a fork."""

import itertools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, engine_from_config
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.util import asbool

from c2c_broadcast import ConfigurationError, mask
from c2c_db._database import Database
from c2c_db._forks import after_fork
from c2c_db._roles import Role
from c2c_db._url import hosts_of, one_url_a_host, parse_url

CONNECT_LIMIT = 3
"""Seconds that a connection to PostgreSQL may take to be made, where neither URL nor options say otherwise."""
# Milliseconds until data that nobody acknowledges end a connection (libpq): an unplugged server is noticed.
_UNACKNOWLEDGED_LIMIT = 10_000
# Options of create_engine that SQLAlchemy itself does not read from the texts of an ini file: "false" would be true.
_BOOLEANS = ("pool_pre_ping", "pool_use_lifo", "hide_parameters")


def make_engine(url: URL, name: str, options: Mapping[str, Any], *, writable: bool) -> Engine:
    """Return the engine ``name``; ``options`` are create_engine's, as values or as the texts of an ini file.

    The name stands in SQLAlchemy's logs, in ``engine.logging_name`` and in ``engine.c2c_name``; ``engine.c2c_role`` and
    ``engine.c2c_fails_over`` tell what it is (``describe``). For PostgreSQL,
    connecting is limited to ``CONNECT_LIMIT``, and a ``writable`` engine of a URL with several hosts connects to the
    one that takes writes.

    Raises:
        ConfigurationError: The URL's dialect is unknown, or an option is.
    """
    options = dict(options)
    try:
        options["connect_args"] = connect_args(url, options, writable=writable)
        options.setdefault("logging_name", name)
        options.setdefault("pool_logging_name", name)
        options |= {key: asbool(options[key]) for key in _BOOLEANS if key in options}
        settings = {f"engine.{key}": value for key, value in options.items()}
        engine = engine_from_config({**settings, "engine.url": url}, "engine.")
    except (ArgumentError, NoSuchModuleError, ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"database {name}: {mask(str(error))}") from None
    engine.c2c_name = name  # type: ignore[attr-defined] # for those who label what they measure
    describe(engine, Role.PRIMARY if writable else Role.REPLICA, fails_over=False)
    # The parent's connections stay the parent's: the child begins with an empty pool.
    after_fork(engine, lambda one: one.dispose(close=False))
    return engine


def describe(engine: Engine, role: Role, *, fails_over: bool) -> None:
    """Say on an engine what it is, for those who watch it: ``engine.c2c_role`` and ``engine.c2c_fails_over``.

    ``fails_over`` tells that reads go on elsewhere while its server is away: then it is degraded, and no outage.
    """
    engine.c2c_role = str(role)  # type: ignore[attr-defined]
    engine.c2c_fails_over = fails_over  # type: ignore[attr-defined]


def engine_name(engine: Engine) -> str:
    """Return the name of an engine: ``sqlalchemy``, ``sqlalchemy_slave``, ..."""
    return str(engine.logging_name)


def connect_args(url: URL, options: Mapping[str, Any], *, writable: bool) -> dict[str, Any]:
    """Return what is given to the driver: the application's ``connect_args``, and ours where it says nothing.

    Raises:
        TypeError: The application's are a text.
    """
    given = options.get("connect_args") or {}
    if not isinstance(given, Mapping):
        raise TypeError("connect_args can't be said in a text: write them in the URL, as in ?sslmode=require")
    own = dict(given)
    if url.get_backend_name() != "postgresql":
        return own
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_LIMIT, "tcp_user_timeout": _UNACKNOWLEDGED_LIMIT}
    if writable and hosts_of(url):
        # Of several hosts, libpq takes the one that is no standby: after a fail-over, another one.
        arguments["target_session_attrs"] = "read-write"
    return {key: value for key, value in arguments.items() if key not in url.query} | own


def open_engines(database: Database) -> tuple[Engine, list[tuple[Engine, dict[str, Any]]]]:
    """Return the primary's engine, and for each replica its engine and the driver's arguments.

    Raises:
        ConfigurationError: A URL can't be read, or an option is unknown.
    """
    primary_name, replica_name = database.engine_names
    url = parse_url(database.url, f"{primary_name}.url")
    primary = make_engine(url, primary_name, database.options, writable=True)
    found = (parse_url(text, f"{replica_name}.url") for text in database.replica_urls)
    urls = [one for one in dict.fromkeys(itertools.chain.from_iterable(map(one_url_a_host, found))) if one != url]
    options = database.options if database.replica_options is None else database.replica_options
    replicas = []
    for number, one in enumerate(urls, 1):
        name = replica_name + (f"_{number}" if len(urls) > 1 else "")
        engine = make_engine(one, name, options, writable=False)
        replicas.append((engine, connect_args(one, options, writable=False)))
    return primary, replicas
