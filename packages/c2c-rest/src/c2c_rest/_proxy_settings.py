"""What the proxy filter reads: whom it believes, and what it sets whatever they say."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from c2c_broadcast import setting
from c2c_rest._hop import host_of, node_of, scheme_of

Networks = tuple[IPv4Network | IPv6Network, ...]


def _networks(raw: str | tuple[str, ...]) -> Networks:
    parts = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    try:
        return tuple(ip_network(part, strict=False) for part in parts)
    except ValueError:
        raise ValueError("must be networks or addresses, such as 10.0.0.0/8, 192.168.1.7, fd00::/8") from None


def _proto(raw: str) -> str:
    proto = scheme_of(raw)
    if proto is None:
        raise ValueError("must be http or https")
    return proto


def _remote_address(raw: str) -> str:
    address = node_of(f"[{raw}]" if ":" in raw else raw)
    if address is None:
        raise ValueError("must be an IP address")
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The settings of `client_info.Filter`."""

    trusted_proxies: Networks | None = setting(
        None,
        env="C2C_TRUSTED_PROXIES",
        key="c2c.trusted_proxies",
        parse=_networks,
        help="networks of the proxies whose headers are believed, such as `10.0.0.0/8, fd00::/8`; unset: all",
    )
    force_proto: str | None = setting(
        None, env="C2C_FORCE_PROTO", key="c2c.force_proto", parse=_proto, help="the scheme, whatever proxies say"
    )
    force_host: str | None = setting(
        None, env="C2C_FORCE_HOST", key="c2c.force_host", parse=host_of, help="the host, with its port if it has one"
    )
    force_server_name: str | None = setting(
        None, env="C2C_FORCE_SERVER_NAME", key="c2c.force_server_name", parse=host_of, help="the server's name"
    )
    force_remote_addr: str | None = setting(
        None,
        env="C2C_FORCE_REMOTE_ADDR",
        key="c2c.force_remote_addr",
        parse=_remote_address,
        help="the address of the client",
    )
