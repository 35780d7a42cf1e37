"""Whether we are in a container, and where its host is."""

import socket
from pathlib import Path

_GATEWAY_FLAG = 0x2  # RTF_GATEWAY, linux/route.h


def in_docker(root: Path = Path("/")) -> bool:
    """Tell whether this process is in a Docker or Podman container."""
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))


def gateway(root: Path = Path("/")) -> str:
    """Return how to reach the ports that containers publish: the default gateway in a container, else localhost."""
    return (in_docker(root) and _default_gateway(root)) or "localhost"


def _default_gateway(root: Path) -> str | None:
    # /proc/net/route (proc_pid_net(5)): interface, destination, gateway, flags, ...; addresses are hexadecimal, in the
    # machine's byte order, which is little endian wherever we run.
    try:
        lines = (root / "proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        _, destination, address, flags, *_ = line.split()
        if int(destination, 16) == 0 and int(flags, 16) & _GATEWAY_FLAG:
            return socket.inet_ntoa(int(address, 16).to_bytes(4, "little"))
    return None
