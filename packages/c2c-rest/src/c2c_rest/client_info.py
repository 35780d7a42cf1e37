"""The proxy filter: what the client asked for, as the proxies in front of the service tell it.

    application = client_info.Filter(application)

or in an ini file ``[filter:proxy]`` with ``use = egg:c2c-rest#client_info``. The headers are ``Forwarded`` (RFC 7239)
and ``X-Forwarded-...``. Proxies append at the right. So a list is walked from there, as far as the hops are proxies
that are believed and the elements are clear: whatever a client writes on the left, it changes nothing of what stands
right of it. Elements are read as real routers write them, not always as the RFC wants it (OpenShift's have no quotes).
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import Any, TypeVar

from pyramid.config import global_registries

from c2c_broadcast import load, mask, setting
from c2c_broadcast.settings import warn_once

_FORWARDED = "HTTP_FORWARDED"
_FOR = "HTTP_X_FORWARDED_FOR"
_HOST = "HTTP_X_FORWARDED_HOST"
_SERVER = "HTTP_X_FORWARDED_SERVER"
_PROTO = "HTTP_X_FORWARDED_PROTO"
_SCHEME = "HTTP_X_FORWARDED_SCHEME"
_PORT = "HTTP_X_FORWARDED_PORT"
HEADERS = (_FORWARDED, _FOR, _HOST, _SERVER, _PROTO, _SCHEME, _PORT)

_Networks = tuple[IPv4Network | IPv6Network, ...]

_IsProxy = Callable[[str | None], bool]
"""Tells whether an address is a proxy's that is believed."""

_Complain = Callable[[str, str], None]
"""Called with the key of a header that has an element which is not clear, and why it is not."""

# IPv4, IPv6 in brackets, or what hides an address; then a port (RFC 7239, 6).
_NODE = re.compile(
    r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]|unknown|_[A-Za-z0-9._-]+)(?::(?:([0-9]{1,5})|_[A-Za-z0-9._-]+))?",
    re.IGNORECASE,
)
# RFC 3986, 3.2.2: registered names without percent-encoding, IPv6 literals; then a port.
_HOST_PORT = re.compile(r"(?:[A-Za-z0-9._~-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?")
_SCHEME_NAME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
# RFC 9110, 5.6.2 and 5.6.4; but without quotes routers write colons and brackets, too, or nothing at all.
_PAIR = re.compile(
    r"\A([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    r'(?:"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)"|([!#-+\--:<-\[\]-~]*))'
)
_MARK = re.compile(r'\\+"?|[",;]')
_ESCAPE = re.compile(r"\\(.)")
# WebSockets come as requests of HTTP.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_HIGHEST_PORT = 65535
# A DNS name has 253 characters at most (RFC 1035), a port six with its colon.
_LONGEST = 260

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Hop:
    """One proxy's view. ``address`` is None where it is unknown or obfuscated, ``proto`` where it is not HTTP's."""

    address: str | None = None
    host: str | None = None
    proto: str | None = None
    server: str | None = None
    port: str | None = None


def _believed(environ: Mapping[str, Any], is_proxy: _IsProxy | None, complain: _Complain) -> _Hop:
    """Return what the headers tell of the client's request: ``Forwarded``, or else ``X-Forwarded-...``.

    With ``is_proxy`` None everybody is believed: the walk goes on to the first element, as the first proxy has written
    it. Else it ends at the first address that is no proxy's, the client's; ``-Host``, ``-Server``, ``-Proto``,
    ``-Scheme`` and ``-Port`` count only from as many hops as ``-For``, or from the peer where there is no ``-For``.
    The address is the farthest that is known.
    """
    if _FORWARDED in environ:
        hops = _to_client(_clear(_FORWARDED, _elements(environ[_FORWARDED]), _hop_of, complain), is_proxy)
        if hops:
            return replace(hops[-1], address=_farthest(hops))
    hops = []
    if _FOR in environ:
        hops = _to_client(_clear(_FOR, _items(environ[_FOR]), lambda text: _Hop(_address_of(text)), complain), is_proxy)
        if not hops and is_proxy is not None:
            # The peer says of no hop who was there: what it passes on may be anybody's.
            return _Hop()
    count = None if is_proxy is None else max(1, len(hops))

    def told(key: str, parse: Callable[[str], _T]) -> _T | None:
        if key not in environ:
            return None
        # A proxy that does not append leaves its list shorter than that of the addresses.
        values = list(islice(_clear(key, _items(environ[key]), parse, complain), count))
        return values[-1] if values else None

    return _Hop(
        address=_farthest(hops),
        host=told(_HOST, _host_of),
        server=told(_SERVER, _host_of),
        proto=told(_PROTO, _scheme_of) or told(_SCHEME, _scheme_of),
        port=told(_PORT, _check_port),
    )


def _proxies_of(networks: _Networks) -> _IsProxy:
    """Return the function that tells whether an address is in one of the networks; ``""``, a unix socket's peer, is."""

    @lru_cache(maxsize=2048)
    def is_proxy(address: str | None) -> bool:
        if not address:
            return address == ""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in networks)

    return is_proxy


@lru_cache(maxsize=2048)
def _address_of(text: str) -> str | None:
    """Return the IP address of a node (RFC 7239, 6) or of nginx's unix socket, without port; None where it hides."""
    if text == "unix:":
        return None
    bare = text.count(":") > 1 and text[0] != "[" and "%" not in text
    found = _NODE.fullmatch(f"[{text}]" if bare else text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{text!r} is not an address")
    _check_port(found[3])
    if found[1]:
        return str(IPv4Address(found[1]))
    if not found[2]:
        return None
    address = IPv6Address(found[2])
    # An IPv4 address as a socket for both shows it.
    return str(address.ipv4_mapped or address)


def _host_of(text: str) -> str:
    """Return a host with its port, if any (RFC 9110, 7.2)."""
    found = _HOST_PORT.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{text!r} is not a host")
    if found[1]:
        IPv6Address(found[1])
    _check_port(found[2])
    return text


def _scheme_of(text: str) -> str | None:
    """Return ``http`` or ``https``, None for another scheme (RFC 3986, 3.1)."""
    if not _SCHEME_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a scheme")
    return _SCHEMES.get(text.lower())


def _check_port(text: str | None) -> str:
    if text is None:
        return ""
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST or not 0 < int(text) <= _HIGHEST_PORT:
        raise ValueError(f"{text!r} is not a port")
    return str(int(text))


def _clear(key: str, items: Iterable[Any], parse: Callable[[Any], _T], complain: _Complain) -> Iterator[_T]:
    """Give what the items say, up to the first that is not clear."""
    item = None
    for item in items:
        try:
            value = parse(item)
        except ValueError as error:
            complain(key, str(error))
            return
        yield value
    if item is None:
        complain(key, "it is empty")


def _to_client(hops: Iterable[_Hop], is_proxy: _IsProxy | None) -> list[_Hop]:
    """Return the hops up to the first that is no proxy's, the nearest first."""
    found = []
    for hop in hops:
        found.append(hop)
        if is_proxy is not None and not is_proxy(hop.address):
            break
    return found


def _farthest(hops: list[_Hop]) -> str | None:
    return next((hop.address for hop in reversed(hops) if hop.address is not None), None)


def _items(text: str) -> Iterator[str]:
    """Give the elements of a list, that at the right first."""
    for part in reversed(text.split(",")):
        item = part.strip(" \t")
        if item:
            yield item


def _elements(text: str) -> Iterator[list[str]]:
    """Give the elements of ``Forwarded``, that at the right first, each as its pairs.

    Quotes are paired from the right, too: one that a client has left open on the left hides nothing.
    """
    pairs: list[str] = []
    end, quoted = len(text), False
    for mark in reversed(list(_MARK.finditer(text))):
        if mark[0][-1] == '"':
            # Behind an odd number of backslashes it is a part of the text.
            quoted ^= len(mark[0]) % 2 == 1
        elif not quoted and mark[0] in {",", ";"}:
            pairs.append(text[mark.end() : end].strip(" \t"))
            end = mark.start()
            if mark[0] == ",":
                if any(pairs):
                    yield pairs
                pairs = []
    pairs.append(text[:end].strip(" \t"))
    if any(pairs):
        yield pairs


def _hop_of(pairs: list[str]) -> _Hop:
    """Return what an element of ``Forwarded`` says. A parameter without a value says nothing."""
    found: dict[str, str] = {}
    for pair in filter(None, pairs):
        match = _PAIR.fullmatch(pair)
        if match is None:
            raise ValueError(f"{pair!r} is not a parameter")
        name, value = match[1].lower(), match[3] if match[2] is None else _ESCAPE.sub(r"\1", match[2])
        if name in found:
            raise ValueError(f"the parameter {name} stands twice in an element")
        found[name] = value
    return _Hop(
        address=_address_of(found["for"]) if found.get("for") else None,
        host=_host_of(found["host"]) if found.get("host") else None,
        proto=_scheme_of(found["proto"]) if found.get("proto") else None,
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
_BY_FAMILY = {_X_FORWARDED: _HEADERS - {_FORWARDED}, **{name: frozenset({key}) for name, key in _BY_NAME.items()}}


def _texts(raw: str | tuple[str, ...]) -> Iterable[str]:
    return raw.replace(",", " ").split() if isinstance(raw, str) else raw


def _networks(raw: str | tuple[str, ...]) -> _Networks:
    try:
        return tuple(ip_network(part, strict=False) for part in _texts(raw))
    except ValueError:
        raise ValueError("must be networks or addresses, such as 10.0.0.0/8, 192.168.1.7, fd00::/8") from None


def _header_names(raw: str | tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.lower() for name in _texts(raw))
    if not set(names) <= set(_BY_FAMILY):
        raise ValueError(f"must be of {', '.join(_BY_FAMILY)}")
    return names


def _proto(raw: str) -> str:
    proto = _scheme_of(raw)
    if proto is None:
        raise ValueError("must be http or https")
    return proto


def _remote_address(raw: str) -> str:
    address = _address_of(raw)
    if address is None:
        raise ValueError("must be an IP address")
    return address


def _forced(name: str, parse: Callable[[str], str], help_: str) -> Any:
    aliases = (f"C2CWSGIUTILS_FORCE_{name.upper()}",)
    return setting(
        None, env=f"C2C_FORCE_{name.upper()}", key=f"c2c.force_{name}", aliases=aliases, parse=parse, help=help_
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The settings of `Filter`."""

    trusted_proxies: _Networks | None = setting(
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
    force_proto: str | None = _forced("proto", _proto, "the scheme, whatever proxies say")
    force_host: str | None = _forced("host", _host_of, "the host, with its port if it has one")
    force_server_name: str | None = _forced("server_name", _host_of, "the server's name")
    force_remote_addr: str | None = _forced("remote_addr", _remote_address, "the address of the client")

    @property
    def written_headers(self) -> frozenset[str]:
        """Keys of the headers that the proxies write."""
        if self.proxy_headers is None:
            return _HEADERS if self.trusted_proxies is None else _BY_FAMILY[_X_FORWARDED]
        return frozenset().union(*(_BY_FAMILY[name] for name in self.proxy_headers))


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

    def __init__(self, application: Callable[..., Iterable[bytes]], settings: Mapping[str, Any] | None = None) -> None:
        if settings is None:
            settings = getattr(global_registries.last, "settings", None) or {}
        self._application = application
        loaded = load(ProxySettings, settings)
        self._is_proxy = None if loaded.trusted_proxies is None else _proxies_of(loaded.trusted_proxies)
        self._dropped = _HEADERS - loaded.written_headers
        self._forced = {
            "REMOTE_ADDR": loaded.force_remote_addr,
            "HTTP_HOST": loaded.force_host,
            "SERVER_NAME": loaded.force_server_name,
            "wsgi.url_scheme": loaded.force_proto,
        }
        self._said: set[str] = set()
        if self._is_proxy is None:
            warn_once(
                _LOG, "Proxy headers are believed from everybody: name your proxies' networks in C2C_TRUSTED_PROXIES"
            )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer by the application, in the corrected environment."""
        if _SEEN not in environ:
            self._correct(environ)
        for key, value in self._forced.items():
            if value is not None:
                environ[_SEEN] = True
                _set(environ, key, value)
        return self._application(environ, start_response)

    def _correct(self, environ: dict[str, Any]) -> None:
        if not environ.keys().isdisjoint(_ORIGINALS):
            _drop(environ, _ORIGINALS)  # a client has sent them, and could tell anything
        if environ.keys().isdisjoint(_HEADERS):
            return
        if self._is_proxy is None or self._is_proxy(environ.get("REMOTE_ADDR", "")):
            _drop(environ, self._dropped)
            environ[_SEEN] = True
            _apply(environ, _believed(environ, self._is_proxy, self._complain))
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


def _drop(environ: dict[str, Any], keys: frozenset[str]) -> None:
    for key in keys:
        environ.pop(key, None)


def _apply(environ: dict[str, Any], hop: _Hop) -> None:
    for key in HEADERS:
        if key in environ:
            # Moved away: another filter (PasteDeploy's prefix) would apply them once more, its own way.
            environ[_ORIGINAL_NAMES[key]] = environ.pop(key)
    host = hop.host or hop.server or environ.get("HTTP_HOST")
    if hop.port is not None:
        _set(environ, "SERVER_PORT", hop.port)
        if host and hop.port not in _IMPLIED_PORTS and ":" not in host.rpartition("]")[2]:
            host = f"{host}:{hop.port}"
    if host is not None and host != environ.get("HTTP_HOST"):
        _set(environ, "HTTP_HOST", host)
    for key, value in (("REMOTE_ADDR", hop.address), ("SERVER_NAME", hop.server), ("wsgi.url_scheme", hop.proto)):
        if value is not None:
            _set(environ, key, value)


def _set(environ: dict[str, Any], key: str, value: str) -> None:
    if key in environ:
        environ.setdefault(_ORIGINAL_NAMES[key], environ[key])
    environ[key] = value
