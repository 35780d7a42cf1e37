"""Wrong secrets count in every process: each tells the others, so that more workers do not mean more guesses."""

from weakref import WeakSet

from c2c_broadcast._lockout import Lockout, network_of
from c2c_broadcast.broadcast import get_broadcaster

_CHANNEL = "c2c_wrong_secret"


class SharedLockout(Lockout):
    """Failures by client address, those that other processes tell of included.

    Without Redis, or with Redis away, each process counts for itself.
    """

    def share(self) -> None:
        """Count what other processes tell from now on; starts nothing."""
        _OF_THIS_PROCESS.add(self)
        get_broadcaster().subscribe(_CHANNEL, _heard)

    def failed(self, address: str) -> None:
        """Count a wrong secret here and in the other processes."""
        super().failed(address)
        _tell(address, wrong=True)

    def succeeded(self, address: str) -> bool:
        """Forget the failures of an address here and in the other processes."""
        found = super().succeeded(address)
        if found:
            _tell(address, wrong=False)
        return found


_OF_THIS_PROCESS: WeakSet[SharedLockout] = WeakSet()


def _tell(address: str, *, wrong: bool) -> None:
    get_broadcaster().tell(_CHANNEL, {"network": network_of(address), "wrong": wrong})


def _heard(network: str, wrong: bool) -> None:
    for lockout in list(_OF_THIS_PROCESS):
        # Not logged: the process that was asked says it, once.
        if wrong:
            lockout.count(network[:64])
        else:
            lockout.forget(network[:64])
