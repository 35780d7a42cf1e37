"""Engines: from the URLs that people write, with connect limits, read-only where they are of the replica side."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, engine_from_config, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import asbool

from c2c_broadcast import ConfigurationError, mask

_DRIVERS = ("psycopg2", "psycopg")
# user:password@host1:5432,host2:5433/database - libpq's form, which SQLAlchemy does not read.
_SEVERAL_HOSTS = re.compile(
    r"^(?P<scheme>[\w+]+)://(?P<login>[^/?#]*@)?(?P<hosts>[^@/?#]*,[^@/?#]*)(?P<rest>[/?#].*)?$"
)
_HOST = re.compile(r"^(?P<host>\[[^\]]+\]|[^:\[\]]*)(?::(?P<port>\d+))?$")


def can_import(name: str) -> bool:
    """Tell whether a driver is installed and works."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def parse_url(text: str | URL, name: str, installed: Callable[[str], bool] = can_import) -> URL:
    """Return the URL of a database, with the driver that is installed; ``name`` is the setting, for the error.

    ``postgresql://`` (and ``postgres://``, as other programs write it) means SQLAlchemy's own choice of driver where
    that is installed, else the other one of psycopg2 and psycopg 3. Several hosts are given as in libpq
    (``//host1:port1,host2:port2/``) or in SQLAlchemy's way (``?host=host1:port1&host=host2:port2``).

    Raises:
        ConfigurationError: It is no URL; the message shows no password.
    """
    url = text if isinstance(text, URL) else _read(text, name)
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    if url.drivername != "postgresql":
        return url
    default = url.get_dialect().driver
    drivers = (default, *(driver for driver in _DRIVERS if driver != default))
    for driver in drivers:
        if installed(driver):
            return url if driver == default else url.set(drivername=f"postgresql+{driver}")
    raise ConfigurationError(f"{name}: no driver for postgresql://: install c2c-db[psycopg2], or psycopg[binary]")


def hosts_of(url: URL) -> tuple[str, ...]:
    """Return the ``host:port`` of a URL with several hosts, nothing where there is at most one."""
    found = url.query.get("host", ())
    hosts = (found,) if isinstance(found, str) else tuple(found)
    hosts = tuple(host for one in hosts for host in one.split(","))
    if len(hosts) < 2:  # noqa: PLR2004 # several
        return ()
    ports = url.query.get("port", "")
    if isinstance(ports, str) and ports:  # libpq's other form: host=a,b&port=1,2; one port is that of all hosts
        given = ports.split(",")
        hosts = tuple(f"{host}:{given[min(number, len(given) - 1)]}" for number, host in enumerate(hosts))
    return hosts


def one_url_a_host(url: URL) -> Iterator[URL]:
    """Split a URL with several hosts into one for each of them."""
    hosts = hosts_of(url)
    if not hosts:
        yield url
        return
    rest = url.difference_update_query(["host", "port"])
    for host in hosts:
        match = _HOST.match(host)
        assert match is not None
        yield rest.set(host=match["host"].strip("[]"), port=int(match["port"]) if match["port"] else None)


def _read(text: str, name: str) -> URL:
    try:
        several = _SEVERAL_HOSTS.match(text.strip())
        if several is None:
            url = make_url(text.strip())
        else:
            hosts = several["hosts"].split(",")
            url = make_url(f"{several['scheme']}://{several['login'] or ''}{several['rest'] or ''}")
            url = url.update_query_dict({"host": tuple(hosts)}, append=True)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            f"{name}: {mask(text)!r} is not a database URL: write postgresql://user:password@host:port/database"
        ) from None
    for host in hosts_of(url):
        if not _HOST.match(host):
            raise ConfigurationError(f"{name}: {mask(host)!r} is not host or host:port")
    return url


# Seconds; a connection that was used just now is not pinged: under load nothing is added.
_TRUSTED = 1.0
CONNECT_LIMIT = 3
"""Seconds that a connection to PostgreSQL may take to be made, where neither URL nor options say otherwise."""
_LEAST_CONNECT_LIMIT = 2  # what libpq takes as the least
_PG8000 = "pg8000"
# Milliseconds until data that nobody acknowledges end a connection (libpq): an unplugged server is noticed.
_UNACKNOWLEDGED_LIMIT = 10_000
# Options of create_engine that SQLAlchemy itself does not read from the texts of an ini file: "false" would be true.
_BOOLEANS = ("pool_pre_ping", "pool_use_lifo", "hide_parameters")


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine, the driver's arguments, and after how many idle seconds a connection of its pool is pinged."""

    engine: Engine
    arguments: dict[str, Any]
    trusted: float


def open_engine(url: URL, name: str, options: Mapping[str, Any], *, writable: bool) -> Opened:
    """Make the engine ``name``; ``options`` are create_engine's, as values or as the texts of an ini file.

    The name stands in SQLAlchemy's logs, in ``engine.logging_name`` and in ``engine.c2c_name``; ``engine.c2c_role`` and
    ``engine.c2c_fails_over`` tell what it is (``describe``). For PostgreSQL, connecting is limited to
    ``CONNECT_LIMIT``, and a ``writable`` engine of a URL with several hosts connects to the one that takes writes.

    Raises:
        ConfigurationError: The URL's dialect is unknown, or an option is.
    """
    options = dict(options)
    own_limit = "timeout" not in (options.get("connect_args") or ()) and "timeout" not in url.query
    trusted = _TRUSTED
    try:
        arguments = options["connect_args"] = connect_args(url, options, writable=writable)
        if url.get_backend_name() == "postgresql" and asbool(options.pop("pool_pre_ping", False)):
            trusted = 0.0  # pinged at each checkout, by us: SQLAlchemy's own ping waits without a limit
        options.setdefault("logging_name", name)
        options.setdefault("pool_logging_name", name)
        options |= {key: asbool(options[key]) for key in _BOOLEANS if key in options}
        settings = {f"engine.{key}": value for key, value in options.items()}
        engine = engine_from_config({**settings, "engine.url": url}, "engine.")
    except (ArgumentError, NoSuchModuleError, ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"database {name}: {mask(str(error))}") from None
    engine.c2c_name = name  # type: ignore[attr-defined] # for those who label what they measure
    if url.get_driver_name() == _PG8000 and own_limit:
        event.listen(engine, "connect", _end_limit)
    describe(engine, "primary" if writable else "replica", fails_over=False)
    return Opened(engine, arguments, trusted)


def _end_limit(raw: Any, _record: Any) -> None:
    raw._usock.settimeout(None)  # noqa: SLF001 # pg8000's limit is one of all it does: it is for connecting only


def describe(engine: Engine, role: str, *, fails_over: bool) -> None:
    """Say on an engine what it is, for those who watch it: ``engine.c2c_role`` and ``engine.c2c_fails_over``.

    ``fails_over`` tells that reads go on elsewhere while its server is away: then it is degraded, and no outage.
    """
    engine.c2c_role = role  # type: ignore[attr-defined]
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
    if is_libpq(url):
        several = bool(hosts_of(url))
        arguments: dict[str, Any] = {
            "connect_timeout": _LEAST_CONNECT_LIMIT if several else CONNECT_LIMIT,  # of each host
            "tcp_user_timeout": _UNACKNOWLEDGED_LIMIT,
        }
        if writable and several:
            # Of several hosts, libpq takes the one that is no standby: after a fail-over, another one.
            arguments["target_session_attrs"] = "read-write"
    elif url.get_driver_name() == _PG8000:
        arguments = {"timeout": CONNECT_LIMIT}
    else:
        return own
    return {key: value for key, value in arguments.items() if key not in url.query} | own


def is_libpq(url: URL) -> bool:
    """Tell whether a URL's driver takes the arguments of libpq."""
    return url.get_backend_name() == "postgresql" and url.get_driver_name() in _DRIVERS


_INFO = "c2c_db.read_only"
# PQTRANS_IDLE of libpq: no BEGIN yet.
_IDLE = 0


def can_enforce(engine: Engine) -> bool:
    """Tell whether read-only transactions are to be had: of PostgreSQL, and of SQLite in a file."""
    if engine.dialect.name == "sqlite":
        return isinstance(engine.pool, QueuePool)  # a connection in memory is shared by all sessions of a thread
    return engine.dialect.name == "postgresql"


def enforce_always(engine: Engine) -> None:
    """Make each connection of an engine read-only, from its start: no statement more than without it."""
    if can_enforce(engine):
        event.listen(engine, "connect", lambda raw, _record: _set(engine, raw, value=True))


def reset_on_return(engine: Engine) -> None:
    """Let connections that ``enforce`` made read-only go back to the pool as they were."""

    def checkin(raw: Any, record: Any) -> None:
        if record.info.pop(_INFO, None) and raw is not None:
            try:
                _set(engine, raw, value=False)
            except engine.dialect.loaded_dbapi.Error as error:  # it died meanwhile
                record.invalidate(error)

    event.listen(engine, "checkin", checkin)


def enforce(connection: Connection) -> None:
    """Make a transaction read-only: its BEGIN says so, without a round trip, unless a listener was faster."""
    if connection.info.get(_INFO):
        return
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "postgresql" or (is_libpq(connection.engine.url) and _is_idle(raw)):
        connection.info[_INFO] = True
        _set(connection.engine, raw, value=True)
    else:
        connection.info[_INFO] = False  # it ends with the transaction
        cursor = raw.cursor()
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.close()


def _is_idle(raw: Any) -> bool:
    return bool(raw.info.transaction_status == _IDLE)


def is_enforced(connection: Connection) -> bool:
    """Tell whether ``enforce`` made the transaction of a connection read-only."""
    return not connection.invalidated and _INFO in connection.info


def _set(engine: Engine, raw: Any, *, value: bool) -> None:
    dialect: Any = engine.dialect
    if dialect.name == "sqlite":
        raw.execute(f"PRAGMA query_only = {'ON' if value else 'OFF'}").close()
    else:
        dialect.set_readonly(raw, value)
