"""From the URLs that people write to the URLs of engines: drivers, several hosts."""

import importlib
import re
from collections.abc import Callable, Iterator

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

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
