"""Slow down whoever guesses the secret: failures are counted by client address, and lock it for a while."""

import ipaddress
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_LOG = logging.getLogger(__name__)

ALLOWED_FAILURES = 5
FIRST_LOCK = 5.0
LONGEST_LOCK = 300.0
MOST_ADDRESSES = 10_000


class Lockout:
    """Failures by client address.

    The fifth failure locks the address for 5 s; each one after doubles that, up to 5 minutes. At most 10,000
    addresses are remembered, the least recent one goes first. An IPv6 client is its /64 network (RFC 4291, 2.5.4:
    a host may take any address in it). ``clock`` gives seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def remaining(self, address: str) -> float:
        """Return for how many seconds ``address`` is still locked, 0 when it is not."""
        found = self._failures.get(network_of(address))
        return max(0.0, found[1] - self._clock()) if found else 0.0

    def failed(self, address: str) -> None:
        """Count a wrong secret from ``address``, and lock it when these are too many."""
        network = network_of(address)
        count, seconds = self.count(network)
        if seconds:
            _LOG.warning("%s wrong secrets from %s: locked for %.0f s", count, network or "(no address)", seconds)

    def count(self, network: str) -> tuple[int, float]:
        """Count a wrong secret and return how many there were, and for how many seconds the network is locked now."""
        with self._lock:
            count, until = self._failures.pop(network, (0, 0.0))
            count += 1
            seconds = 0.0
            if count >= ALLOWED_FAILURES:
                seconds = min(FIRST_LOCK * 2 ** min(count - ALLOWED_FAILURES, 16), LONGEST_LOCK)
                until = self._clock() + seconds
            self._failures[network] = (count, until)
            while len(self._failures) > MOST_ADDRESSES:
                self._failures.popitem(last=False)
        return count, seconds

    def succeeded(self, address: str) -> bool:
        """Forget the failures of ``address``, which knows the secret; tell whether there were any."""
        return bool(self._failures) and self.forget(network_of(address))

    def forget(self, network: str) -> bool:
        """Forget the failures of a network; tell whether there were any."""
        with self._lock:
            return self._failures.pop(network, None) is not None

    def __len__(self) -> int:
        return len(self._failures)


def network_of(address: str) -> str:
    """Return what is counted for an address: itself, of IPv6 the /64 network."""
    if ":" not in address:
        return address[:64]
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
