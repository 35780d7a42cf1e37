"""Engines: from the URLs that people write, with connect limits, read-only where they are of the replica side."""

import contextlib
import importlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, engine_from_config, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import asbool

from c2c_broadcast import ConfigurationError, mask

_LIBPQ = ("psycopg2", "psycopg")
_PG8000 = "pg8000"
# user:password@host1:5432,host2:5433/database - libpq's form, which SQLAlchemy does not read.
_SEVERAL_HOSTS = re.compile(
    r"^(?P<scheme>[\w+]+)://(?P<login>[^/?#]*@)?(?P<hosts>[^@/?#]*,[^@/?#]*)(?P<rest>[/?#].*)?$"
)
_HOST = re.compile(r"^(?P<host>\[[^\]]+\]|[^:\[\]]*)(?::(?P<port>\d+))?$")
# Seconds; a connection that was used just now is not pinged: under load nothing is added.
_TRUSTED = 1.0
CONNECT_LIMIT = 3
"""Seconds that a connection to PostgreSQL may take to be made, where neither URL nor options say otherwise."""
LEAST_CONNECT_LIMIT = 2  # what libpq takes as the least
# Milliseconds until data that nobody acknowledges end a connection (libpq): an unplugged server is noticed.
_UNACKNOWLEDGED_LIMIT = 10_000
# Options of create_engine that SQLAlchemy itself does not read from the texts of an ini file: "false" would be true.
_BOOLEANS = ("pool_pre_ping", "pool_use_lifo", "hide_parameters")
_READ_ONLY = "c2c_db.read_only"
_IDLE = 0  # PQTRANS_IDLE of libpq: no BEGIN yet


def can_import(name: str) -> bool:
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
    if url.drivername not in {"postgresql", "postgres"}:
        return url
    for driver in (make_url("postgresql://").get_dialect().driver, *_LIBPQ):
        if installed(driver):
            return url.set(drivername=f"postgresql+{driver}")
    raise ConfigurationError(f"{name}: no driver for postgresql://: install c2c-db[psycopg2], or psycopg[binary]")


def _read(text: str, name: str) -> URL:
    try:
        several = _SEVERAL_HOSTS.match(text.strip())
        if several is None:
            url = make_url(text.strip())
        else:
            url = make_url(f"{several['scheme']}://{several['login'] or ''}{several['rest'] or ''}")
            url = url.update_query_dict({"host": several["hosts"].split(",")}, append=True)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            f"{name}: {mask(text)!r} is not a database URL: write postgresql://user:password@host:port/database"
        ) from None
    for host in hosts_of(url):
        if not _HOST.match(host):
            raise ConfigurationError(f"{name}: {mask(host)!r} is not host or host:port")
    return url


def hosts_of(url: URL) -> tuple[str, ...]:
    """Return the ``host:port`` of a URL with several hosts, nothing where there is at most one."""
    hosts, ports = _query(url, "host").split(","), _query(url, "port").split(",")
    if len(hosts) == 1:
        return ()
    if ports != [""]:  # libpq's other form: host=a,b&port=1,2; one port is that of all hosts
        return tuple(f"{host}:{ports[min(number, len(ports) - 1)]}" for number, host in enumerate(hosts))
    return tuple(hosts)


def _query(url: URL, name: str) -> str:
    value = url.query.get(name, "")  # URL.normalized_query of SQLAlchemy 2.0.0 raises
    return value if isinstance(value, str) else ",".join(value)


def one_url_a_host(url: URL) -> Iterator[URL]:
    hosts = hosts_of(url)
    if not hosts:
        yield url
    rest = url.difference_update_query(["host", "port"])
    for match in filter(None, map(_HOST.match, hosts)):
        yield rest.set(host=match["host"].strip("[]"), port=int(match["port"]) if match["port"] else None)


Opened = tuple[Engine, dict[str, Any], float]
"""An engine, the driver's arguments, and after how many idle seconds a connection of its pool is pinged."""


def open_engine(url: URL, name: str, options: Mapping[str, Any], *, writable: bool) -> Opened:
    """Make the engine ``name``; ``options`` are create_engine's, as values or as the texts of an ini file.

    The name stands in SQLAlchemy's logs, and in ``engine.logging_name``. For PostgreSQL, connecting is limited to
    ``CONNECT_LIMIT``, and a ``writable`` engine of a URL with several hosts connects to the one that takes writes.

    Raises:
        ConfigurationError: The URL's dialect is unknown, or an option is.
    """
    options = {"logging_name": name, "pool_logging_name": name, **options}
    trusted = _TRUSTED
    try:
        arguments = options["connect_args"] = _connect_args(url, options.get("connect_args") or {}, writable=writable)
        if url.get_backend_name() == "postgresql" and asbool(options.pop("pool_pre_ping", False)):
            trusted = 0.0  # pinged at each checkout, by us: SQLAlchemy's own ping waits without a limit
        options |= {key: asbool(options[key]) for key in _BOOLEANS if key in options}
        engine = engine_from_config({**options, "url": url}, prefix="")
    except (ArgumentError, NoSuchModuleError, ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"database {name}: {mask(str(error))}") from None
    if url.get_driver_name() == _PG8000:
        event.listen(engine, "connect", _pg8000_connects)
    return engine, arguments, trusted


def _pg8000_connects(raw: Any, _record: Any) -> None:
    own, close = raw._usock, raw.close  # noqa: SLF001 # it has no other name for its socket
    if own.gettimeout() == CONNECT_LIMIT:
        own.settimeout(None)  # it limits all that is done: ours is for connecting only

    def quietly_close() -> None:
        with contextlib.suppress(Exception):  # its goodbye to a server that has gone, which the pool would log
            close()
        own.close()

    raw.close = quietly_close


def open_engines(database: Any) -> tuple[Opened, list[Opened]]:
    primary_name, replica_name = database.engine_names
    url = parse_url(database.url, f"{primary_name}.url")
    primary = open_engine(url, primary_name, database.options, writable=True)
    found = (parse_url(text, f"{replica_name}.url") for text in database.replica_urls)
    urls = [one for one in dict.fromkeys(itertools.chain.from_iterable(map(one_url_a_host, found))) if one != url]
    options = database.options if database.replica_options is None else database.replica_options
    names = (replica_name + (f"_{number}" if len(urls) > 1 else "") for number in itertools.count(1))
    return primary, [open_engine(one, name, options, writable=False) for one, name in zip(urls, names, strict=False)]


def is_libpq(url: URL) -> bool:
    return url.get_backend_name() == "postgresql" and url.get_driver_name() in _LIBPQ


def _connect_args(url: URL, given: Any, *, writable: bool) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError("connect_args can't be said in a text: write them in the URL, as in ?sslmode=require")
    arguments: dict[str, Any] = {}
    if is_libpq(url):
        several = bool(hosts_of(url))
        arguments["connect_timeout"] = LEAST_CONNECT_LIMIT if several else CONNECT_LIMIT  # of each host
        arguments["tcp_user_timeout"] = _UNACKNOWLEDGED_LIMIT
        if writable and several:
            # Of several hosts, libpq takes the one that is no standby: after a fail-over, another one.
            arguments["target_session_attrs"] = "read-write"
    elif url.get_driver_name() == _PG8000:
        arguments["timeout"] = CONNECT_LIMIT
    return {key: value for key, value in arguments.items() if key not in url.query} | dict(given)


def can_enforce(engine: Engine) -> bool:
    """Tell whether read-only transactions are to be had: of PostgreSQL, and of SQLite in a file."""
    if engine.dialect.name == "sqlite":
        return isinstance(engine.pool, QueuePool)  # a connection in memory is shared by all sessions of a thread
    return engine.dialect.name == "postgresql"


def enforce_always(engine: Engine) -> None:
    """Make each connection of an engine read-only from its start, for whoever uses it."""

    def connected(raw: Any, record: Any) -> None:
        record.info[_READ_ONLY] = how = _how(engine.dialect, raw)
        _set(engine.dialect, raw, how, value=True)

    if can_enforce(engine):
        event.listen(engine, "connect", connected)


def enforce(connection: Connection) -> None:
    """Make a transaction read-only: its BEGIN says so, without a round trip, unless a listener was faster."""
    raw: Any = connection.connection.dbapi_connection
    how, done = _how(connection.dialect, raw), connection.info.get(_READ_ONLY)
    if done == "session" or (done == "connection" and how == done):
        return
    is_sqlite = connection.dialect.name == "sqlite"
    is_early = is_sqlite or (is_libpq(connection.engine.url) and raw.info.transaction_status == _IDLE)
    if how == "session" or is_early:
        connection.info[_READ_ONLY] = how
        _set(connection.dialect, raw, how, value=True)
    else:
        connection.info[_READ_ONLY] = ""  # it ends with the transaction
        _run(raw, "SET TRANSACTION READ ONLY")


def reset_on_return(engine: Engine) -> None:
    """Let connections that ``enforce`` made read-only go back to the pool as they were."""

    @event.listens_for(engine, "checkin")
    def checkin(raw: Any, record: Any) -> None:
        how = record.info.pop(_READ_ONLY, None)
        if how and raw is not None:
            try:
                _set(engine.dialect, raw, how, value=False)
            except engine.dialect.loaded_dbapi.Error as error:  # it died meanwhile
                record.invalidate(error)


def _how(dialect: Any, raw: Any) -> str:
    # Where there is no BEGIN, only the server's session can be told.
    return "session" if dialect.name != "sqlite" and raw.autocommit else "connection"


def _set(dialect: Any, raw: Any, how: str, *, value: bool) -> None:
    if dialect.name == "sqlite":
        raw.execute(f"PRAGMA query_only = {int(value)}").close()
    elif how == "connection":
        dialect.set_readonly(raw, value or None)  # a standby refuses READ WRITE, which psycopg makes of False
    else:
        before, raw.autocommit = raw.autocommit, True
        _run(raw, f"SET default_transaction_read_only = {int(value)}")
        raw.autocommit = before


def _run(raw: Any, sql: str) -> None:
    with contextlib.closing(raw.cursor()) as cursor:
        cursor.execute(sql)
