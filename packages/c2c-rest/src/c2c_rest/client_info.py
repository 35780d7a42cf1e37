"""The proxy filter: what the client asked for, as the proxies in front of the service tell it.

    application = client_info.Filter(application)

or in an ini file ``[filter:proxy]`` with ``use = egg:c2c-rest#client_info``.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from pyramid.config import global_registries

from c2c_broadcast import load, mask, setting
from c2c_rest._forwarded import (
    FORWARDED,
    HEADERS,
    Hop,
    Networks,
    address_of,
    believed,
    host_of,
    proxies_of,
    scheme_of,
)

_LOG = logging.getLogger(__name__)

_ORIGINAL = "HTTP_ORIGINAL_"
_ORIGINAL_NAMES = {
    "REMOTE_ADDR": f"{_ORIGINAL}REMOTE_ADDR",
    "HTTP_HOST": f"{_ORIGINAL}HOST",
    "SERVER_NAME": f"{_ORIGINAL}SERVER_NAME",
    "SERVER_PORT": f"{_ORIGINAL}SERVER_PORT",
    "wsgi.url_scheme": f"{_ORIGINAL}URL_SCHEME",
    **{key: key.replace("HTTP_", _ORIGINAL, 1) for key in HEADERS},
}
_ORIGINALS = frozenset(_ORIGINAL_NAMES.values())
_HEADERS = frozenset(HEADERS)
# Where the ini file's pipeline has the filter, and c2c-run too: the originals that the first one kept are no client's.
_SEEN = "c2c_rest.client_info"
# Never written into the host: behind a second proxy that ends TLS they contradict the scheme, and are wrong.
_IMPLIED_PORTS = frozenset({"80", "443"})

_BY_NAME = {key.removeprefix("HTTP_").replace("_", "-").lower(): key for key in HEADERS}
_X_FORWARDED = "x-forwarded"
_BY_FAMILY = {_X_FORWARDED: _HEADERS - {FORWARDED}, **{name: frozenset({key}) for name, key in _BY_NAME.items()}}

Environ = dict[str, Any]


def _networks(raw: str | tuple[str, ...]) -> Networks:
    parts = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    try:
        return tuple(ip_network(part, strict=False) for part in parts)
    except ValueError:
        raise ValueError("must be networks or addresses, such as 10.0.0.0/8, 192.168.1.7, fd00::/8") from None


def _header_names(raw: str | tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.lower() for name in (raw.replace(",", " ").split() if isinstance(raw, str) else raw))
    if not set(names) <= set(_BY_FAMILY):
        raise ValueError(f"must be of {', '.join(_BY_FAMILY)}")
    return names


def _proto(raw: str) -> str:
    proto = scheme_of(raw)
    if proto is None:
        raise ValueError("must be http or https")
    return proto


def _remote_address(raw: str) -> str:
    address = address_of(raw)
    if address is None:
        raise ValueError("must be an IP address")
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The settings of `Filter`."""

    trusted_proxies: Networks | None = setting(
        None,
        env="C2C_TRUSTED_PROXIES",
        key="c2c.trusted_proxies",
        parse=_networks,
        help="networks of the proxies whose headers are believed, such as `10.0.0.0/8, fd00::/8`; unset: all",
    )
    proxy_headers: tuple[str, ...] | None = setting(
        None,
        env="C2C_PROXY_HEADERS",
        key="c2c.proxy_headers",
        parse=_header_names,
        help="the headers that your proxies write: `x-forwarded` (all of them, or by name: `x-forwarded-for, ...`), "
        "`forwarded`; others are dropped. Unset: `x-forwarded` with networks named above, else both",
    )
    force_proto: str | None = setting(
        None,
        env="C2C_FORCE_PROTO",
        key="c2c.force_proto",
        aliases=("C2CWSGIUTILS_FORCE_PROTO",),
        parse=_proto,
        help="the scheme, whatever proxies say",
    )
    force_host: str | None = setting(
        None,
        env="C2C_FORCE_HOST",
        key="c2c.force_host",
        aliases=("C2CWSGIUTILS_FORCE_HOST",),
        parse=host_of,
        help="the host, with its port if it has one",
    )
    force_server_name: str | None = setting(
        None,
        env="C2C_FORCE_SERVER_NAME",
        key="c2c.force_server_name",
        aliases=("C2CWSGIUTILS_FORCE_SERVER_NAME",),
        parse=host_of,
        help="the server's name",
    )
    force_remote_addr: str | None = setting(
        None,
        env="C2C_FORCE_REMOTE_ADDR",
        key="c2c.force_remote_addr",
        aliases=("C2CWSGIUTILS_FORCE_REMOTE_ADDR",),
        parse=_remote_address,
        help="the address of the client",
    )

    @property
    def written_headers(self) -> frozenset[str]:
        """Keys of the headers that the proxies write."""
        if self.proxy_headers is None:
            return _HEADERS if self.trusted_proxies is None else _BY_FAMILY[_X_FORWARDED]
        return frozenset().union(*(_BY_FAMILY[name] for name in self.proxy_headers))

    @property
    def forced(self) -> dict[str, str]:
        """What is set whatever proxies say, by key of the environment."""
        forced = {
            "REMOTE_ADDR": self.force_remote_addr,
            "HTTP_HOST": self.force_host,
            "SERVER_NAME": self.force_server_name,
            "wsgi.url_scheme": self.force_proto,
        }
        return {key: value for key, value in forced.items() if value is not None}


class Filter:
    """WSGI filter that puts what proxies tell into the environment.

    Sets ``REMOTE_ADDR``, ``HTTP_HOST``, ``SERVER_NAME``, ``SERVER_PORT`` and ``wsgi.url_scheme`` from ``Forwarded``
    (RFC 7239), else from ``X-Forwarded-For``, ``-Host``, ``-Server``, ``-Proto``, ``-Scheme``, ``-Port``. What was
    there before, those headers too, is kept as ``HTTP_ORIGINAL_...``. A header counts from the right as far as it is
    clear. Headers that `ProxySettings` says the proxies do not write, and those of peers that are none, are dropped.

    Args:
        application: the WSGI application
        settings: ini settings; without them, those of the Pyramid application that was made last, if any

    Raises:
        ConfigurationError: A setting can't be read.
    """

    def __init__(self, application: Callable[..., Any], settings: Mapping[str, Any] | None = None) -> None:
        if settings is None:
            settings = getattr(global_registries.last, "settings", None) or {}
        self._application = application
        loaded = load(ProxySettings, settings)
        self._is_proxy = None if loaded.trusted_proxies is None else proxies_of(loaded.trusted_proxies)
        self._dropped = _HEADERS - loaded.written_headers
        self._forced = loaded.forced
        self._said: set[str] = set()
        if self._is_proxy is None:
            _LOG.warning(
                "Proxy headers are believed from everybody: name the networks of your proxies in C2C_TRUSTED_PROXIES"
            )

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer by the application, in the corrected environment."""
        if _SEEN not in environ:
            self._correct(environ)
        for key, value in self._forced.items():
            environ[_SEEN] = True
            _set(environ, key, value)
        result: Iterable[bytes] = self._application(environ, start_response)
        return result

    def _correct(self, environ: Environ) -> None:
        if not environ.keys().isdisjoint(_ORIGINALS):
            # A client has sent them, and could tell anything.
            _drop(environ, _ORIGINALS)
        if environ.keys().isdisjoint(_HEADERS):
            return
        if self._is_proxy is None or self._is_proxy(environ.get("REMOTE_ADDR", "")):
            _drop(environ, self._dropped)
            environ[_SEEN] = True
            _apply(environ, believed(environ, self._is_proxy, self._complain))
        else:
            _drop(environ, _HEADERS)

    def _complain(self, key: str, why: str) -> None:
        """Say once that a header is not what it should be: whoever sends it may do so with each request."""
        if key not in self._said:
            self._said.add(key)
            name = key.removeprefix("HTTP_").replace("_", "-").title()
            _LOG.warning("A header %s counts only right of an element that is not clear: %s", name, mask(why[:200]))


def filter_app(application: Callable[..., Any], global_conf: Mapping[str, Any] | None, **local_conf: Any) -> Filter:
    """Make the filter of an ini file (``paste.filter_app_factory``)."""
    last = getattr(global_registries.last, "settings", None) or {}
    return Filter(application, {**last, **(global_conf or {}), **local_conf})


def _drop(environ: Environ, keys: frozenset[str]) -> None:
    for key in keys:
        environ.pop(key, None)


def _apply(environ: Environ, hop: Hop) -> None:
    for key in HEADERS:
        if key in environ:
            # Moved away: another filter (PasteDeploy's prefix) would apply them once more, its own way.
            environ[_ORIGINAL_NAMES[key]] = environ.pop(key)
    host = hop.host or hop.server or environ.get("HTTP_HOST")
    if hop.port is not None:
        _set(environ, "SERVER_PORT", hop.port)
        if host and hop.port not in _IMPLIED_PORTS and not _has_port(host):
            host = f"{host}:{hop.port}"
    if hop.address is not None:
        _set(environ, "REMOTE_ADDR", hop.address)
    if host is not None and host != environ.get("HTTP_HOST"):
        _set(environ, "HTTP_HOST", host)
    if hop.server is not None:
        _set(environ, "SERVER_NAME", hop.server)
    if hop.proto is not None:
        _set(environ, "wsgi.url_scheme", hop.proto)


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _set(environ: Environ, key: str, value: str) -> None:
    if key in environ:
        environ.setdefault(_ORIGINAL_NAMES[key], environ[key])
    environ[key] = value
