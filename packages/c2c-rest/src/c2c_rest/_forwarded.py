"""What the headers of proxies tell of the client's request: ``Forwarded`` (RFC 7239) and ``X-Forwarded-...``.

Proxies append at the right. So a list is walked from there, as far as the hops are proxies that are believed and the
elements are clear: whatever a client writes on the left, it changes nothing of what stands right of it. Elements are
read as real routers write them, which is not always as the RFC wants it (OpenShift's have no quotes).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice
from typing import Any, TypeVar

FORWARDED = "HTTP_FORWARDED"
_FOR = "HTTP_X_FORWARDED_FOR"
_HOST = "HTTP_X_FORWARDED_HOST"
_SERVER = "HTTP_X_FORWARDED_SERVER"
_PROTO = "HTTP_X_FORWARDED_PROTO"
_SCHEME = "HTTP_X_FORWARDED_SCHEME"
_PORT = "HTTP_X_FORWARDED_PORT"
HEADERS = (FORWARDED, _FOR, _HOST, _SERVER, _PROTO, _SCHEME, _PORT)
"""Keys of the headers in a WSGI environment."""

Networks = tuple[IPv4Network | IPv6Network, ...]

IsProxy = Callable[[str | None], bool]
"""Tells whether an address is a proxy's that is believed."""

Complain = Callable[[str, str], None]
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
class Hop:
    """One proxy's view. ``address`` is None where it is unknown or obfuscated, ``proto`` where it is not HTTP's."""

    address: str | None = None
    host: str | None = None
    proto: str | None = None
    server: str | None = None
    port: str | None = None


def believed(environ: Mapping[str, Any], is_proxy: IsProxy | None, complain: Complain) -> Hop:
    """Return what the headers tell of the client's request: ``Forwarded``, or else ``X-Forwarded-...``.

    With ``is_proxy`` None everybody is believed: the walk goes on to the first element, as the first proxy has written
    it. Else it ends at the first address that is no proxy's, the client's; ``-Host``, ``-Server``, ``-Proto``,
    ``-Scheme`` and ``-Port`` count only from as many hops as ``-For``, or from the peer where there is no ``-For``.
    The address is the farthest that is known.
    """
    if FORWARDED in environ:
        hops = _to_client(_clear(FORWARDED, _elements(environ[FORWARDED]), _hop_of, complain), is_proxy)
        if hops:
            return replace(hops[-1], address=_farthest(hops))
    hops = []
    if _FOR in environ:
        hops = _to_client(_clear(_FOR, _items(environ[_FOR]), _hop_to, complain), is_proxy)
        if not hops and is_proxy is not None:
            # The peer says of no hop who was there: what it passes on may be anybody's.
            return Hop()
    count = None if is_proxy is None else max(1, len(hops))

    def told(key: str, parse: Callable[[str], _T]) -> _T | None:
        if key not in environ:
            return None
        # A proxy that does not append leaves its list shorter than that of the addresses.
        values = list(islice(_clear(key, _items(environ[key]), parse, complain), count))
        return values[-1] if values else None

    return Hop(
        address=_farthest(hops),
        host=told(_HOST, host_of),
        server=told(_SERVER, host_of),
        proto=told(_PROTO, scheme_of) or told(_SCHEME, scheme_of),
        port=told(_PORT, _port_of),
    )


def proxies_of(networks: Networks) -> IsProxy:
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
def address_of(text: str) -> str | None:
    """Return the IP address of an element, without port; None for what says that it tells none.

    Raises:
        ValueError: It is neither a node (RFC 7239, 6), with or without brackets, nor nginx's for a unix socket.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{text!r} is not an address")
    if text == "unix:":
        return None
    bare = text.count(":") > 1 and text[0] != "[" and "%" not in text
    found = _NODE.fullmatch(f"[{text}]" if bare else text)
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


def host_of(text: str) -> str:
    """Return a host with its port, if any.

    Raises:
        ValueError: It is no ``Host`` (RFC 9110, 7.2).
    """
    found = _HOST_PORT.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{text!r} is not a host")
    if found[1]:
        IPv6Address(found[1])
    _check_port(found[2])
    return text


def scheme_of(text: str) -> str | None:
    """Return ``http`` or ``https``, None for another scheme.

    Raises:
        ValueError: It is no scheme (RFC 3986, 3.1).
    """
    if not _SCHEME_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a scheme")
    return _SCHEMES.get(text.lower())


def _port_of(text: str) -> str:
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST:
        raise ValueError(f"{text!r} is not a port")
    _check_port(text)
    return str(int(text))


def _check_port(text: str | None) -> None:
    if text is not None and not 0 < int(text) <= _HIGHEST_PORT:
        raise ValueError(f"{text} is not a port")


def _clear(key: str, items: Iterable[Any], parse: Callable[[Any], _T], complain: Complain) -> Iterator[_T]:
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


def _to_client(hops: Iterable[Hop], is_proxy: IsProxy | None) -> list[Hop]:
    """Return the hops up to the first that is no proxy's, the nearest first."""
    found = []
    for hop in hops:
        found.append(hop)
        if is_proxy is not None and not is_proxy(hop.address):
            break
    return found


def _farthest(hops: list[Hop]) -> str | None:
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


def _hop_of(pairs: list[str]) -> Hop:
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
    return Hop(
        address=address_of(found["for"]) if found.get("for") else None,
        host=host_of(found["host"]) if found.get("host") else None,
        proto=scheme_of(found["proto"]) if found.get("proto") else None,
    )


def _hop_to(text: str) -> Hop:
    return Hop(address=address_of(text))
