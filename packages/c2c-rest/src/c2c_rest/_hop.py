"""What one proxy tells of the request that came to it, and the parts it is told in."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

_PORT = r"(?::([0-9]{1,5}))?"
# RFC 7239, 6: node, with its obfuscated identifiers.
_NODE = re.compile(
    r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]|unknown|_[A-Za-z0-9._-]+)(?::(?:([0-9]{1,5})|_[A-Za-z0-9._-]+))?",
    re.IGNORECASE,
)
# RFC 3986, 3.2.2, registered names without percent-encoding; IPv6 literals.
_HOST = re.compile(rf"(?:[A-Za-z0-9._~-]+|\[([0-9A-Fa-f:.]+)\]){_PORT}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
# WebSockets come as requests of HTTP.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_HIGHEST_PORT = 65535
# A DNS name has 253 characters at most (RFC 1035), a port six with its colon.
_LONGEST = 260

# The same proxies, hosts and clients come again and again.
_remembered = lru_cache(maxsize=2048)


@dataclass(frozen=True, slots=True)
class Hop:
    """One proxy's view. ``address`` is None where it is unknown or obfuscated, ``proto`` where it is not HTTP's."""

    address: str | None = None
    host: str | None = None
    proto: str | None = None
    server: str | None = None
    port: str | None = None


@_remembered
def node_of(text: str) -> str | None:
    """Return the IP address of a node, without port; None for ``unknown`` and ``_obfuscated`` ones.

    Raises:
        ValueError: It is no node (RFC 7239, 6).
    """
    found = _NODE.fullmatch(text)
    if found is None or len(text) > _LONGEST:
        raise ValueError(f"{text!r} is not an address")
    _check_port(found[3])
    if found[1]:
        return str(IPv4Address(found[1]))
    return _ipv6(found[2]) if found[2] else None


@_remembered
def address_of(text: str) -> str | None:
    """Return the IP address of an element of ``X-Forwarded-For``: a node, or an IPv6 address without brackets.

    Raises:
        ValueError: It is none of them.
    """
    if text.count(":") > 1 and not text.startswith("["):
        if "%" in text:
            raise ValueError(f"{text!r} is not an address")
        return _ipv6(text)
    return node_of(text)


@_remembered
def host_of(text: str) -> str:
    """Return a host with its port, if any.

    Raises:
        ValueError: It is no ``Host`` (RFC 9110, 7.2).
    """
    found = _HOST.fullmatch(text)
    if found is None or len(text) > _LONGEST:
        raise ValueError(f"{text!r} is not a host")
    if found[1]:
        IPv6Address(found[1])
    _check_port(found[2])
    return text


@_remembered
def scheme_of(text: str) -> str | None:
    """Return ``http`` or ``https``, None for another scheme.

    Raises:
        ValueError: It is no scheme (RFC 3986, 3.1).
    """
    if not _SCHEME.fullmatch(text) or len(text) > _LONGEST:
        raise ValueError(f"{text!r} is not a scheme")
    return _SCHEMES.get(text.lower())


@_remembered
def port_of(text: str) -> str:
    """Return a port.

    Raises:
        ValueError: It is none.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST:
        raise ValueError(f"{text!r} is not a port")
    _check_port(text)
    return str(int(text))


def _ipv6(text: str) -> str:
    address = IPv6Address(text)
    # An IPv4 address as a socket for both shows it.
    return str(address.ipv4_mapped or address)


def _check_port(text: str | None) -> None:
    if text is not None and not 0 < int(text) <= _HIGHEST_PORT:
        raise ValueError(f"{text} is not a port")
