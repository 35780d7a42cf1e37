"""From the headers that proxies add to what the first proxy to be believed tells."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar

from c2c_rest._forwarded import parse_forwarded
from c2c_rest._hop import Hop, address_of, host_of, port_of, scheme_of
from c2c_rest._proxy_settings import Networks

FORWARDED = "HTTP_FORWARDED"
_FOR = "HTTP_X_FORWARDED_FOR"
_HOST = "HTTP_X_FORWARDED_HOST"
_SERVER = "HTTP_X_FORWARDED_SERVER"
_PROTO = "HTTP_X_FORWARDED_PROTO"
_SCHEME = "HTTP_X_FORWARDED_SCHEME"
_PORT = "HTTP_X_FORWARDED_PORT"
HEADERS = (FORWARDED, _FOR, _HOST, _SERVER, _PROTO, _SCHEME, _PORT)
"""Keys of the headers in a WSGI environment."""

Complain = Callable[[str, str], None]
"""Called with the key of a header that does not parse, and why."""

IsProxy = Callable[[str | None], bool]
"""Tells whether an address is a trusted proxy's."""

_T = TypeVar("_T")


def believed(environ: Mapping[str, Any], is_proxy: IsProxy | None, complain: Complain) -> Hop:
    """Return what the headers tell of the client's request.

    With ``is_proxy`` None the first element of each list counts, as the first proxy has written it. Else lists are
    walked from the right, where the proxies append, as long as the address is one of theirs: nobody outside can
    add anything there.
    """
    text = environ.get(FORWARDED)
    if text is not None:
        try:
            hops = parse_forwarded(text)
        except ValueError as error:
            complain(FORWARDED, str(error))
        else:
            return hops[-1 - _hops_to_client([hop.address for hop in hops], is_proxy)]
    addresses = _list(environ, _FOR, address_of, complain)
    back = _hops_to_client(addresses, is_proxy)

    def told(values: list[_T]) -> _T | None:
        # A proxy that does not append leaves the list shorter than that of the addresses.
        return values[-1 - min(back, len(values) - 1)] if values and is_proxy is not None else next(iter(values), None)

    return Hop(
        address=told(addresses),
        host=told(_list(environ, _HOST, host_of, complain)),
        server=told(_list(environ, _SERVER, host_of, complain)),
        proto=told(_list(environ, _PROTO, scheme_of, complain) or _list(environ, _SCHEME, scheme_of, complain)),
        port=told(_list(environ, _PORT, port_of, complain)),
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


def _hops_to_client(addresses: list[str | None], is_proxy: IsProxy | None) -> int:
    """Return how many elements from the right the client's is; all elements but one where everybody is trusted."""
    for back, address in enumerate(reversed(addresses)):
        if is_proxy is not None and not is_proxy(address):
            return back
    return max(0, len(addresses) - 1)


def _list(environ: Mapping[str, Any], key: str, parse: Callable[[str], _T], complain: Complain) -> list[_T]:
    """Return the values of a header: all, or none if one does not parse."""
    text = environ.get(key)
    if text is None:
        return []
    try:
        values = [parse(part.strip(" \t")) for part in text.split(",") if part.strip(" \t")]
    except ValueError as error:
        complain(key, str(error))
        return []
    if not values:
        complain(key, "it is empty")
    return values
