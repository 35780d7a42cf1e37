"""Where the statsd server is: ``host:port``, ``[v6]:port`` or ``unix:///path``."""

import re
from dataclasses import dataclass

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?<![^\s:/\[\]])(?P<host>[^\s:/\[\]]+)):(?P<port>\d{1,5})")
_REMEDY = "must look like host:8125, [::1]:8125 or unix:///run/statsd.sock"
_HIGHEST_PORT = 65535

UDP_DATAGRAM = 1432
"""Bytes that pass an Ethernet with its headers and a tunnel's, as DogStatsD's clients count them."""
UNIX_DATAGRAM = 8192
"""Bytes of a datagram on a unix socket, where nothing is fragmented."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it was configured: ``path`` of a unix socket, else ``host`` and ``port``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def datagram(self) -> int:
        """The longest datagram to send there, in bytes."""
        return UNIX_DATAGRAM if self.path else UDP_DATAGRAM

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(raw: str) -> Address:
    """Read an address.

    Raises:
        ValueError: It has none of the three forms; the message says which these are.
    """
    if raw.startswith("unix://"):
        path = raw.removeprefix("unix://")
        if not path.startswith("/"):
            raise ValueError(_REMEDY)
        return Address(path=path)
    match = _HOST_PORT.fullmatch(raw.removeprefix("udp://"))
    if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError(_REMEDY)
    return Address(host=match["v6"] or match["host"], port=int(match["port"]))
