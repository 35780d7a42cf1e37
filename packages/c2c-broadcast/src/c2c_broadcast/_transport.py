"""How messages travel: what a transport does, and the one that goes nowhere."""

import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from c2c_broadcast._answers import Health
from c2c_broadcast._call import Call
from c2c_broadcast._roster import Member


class Receiver(Protocol):
    """What a transport reports to; every method returns at once and raises nothing."""

    def on_request(self, channel: str, data: bytes) -> None:
        """Take a request of another process (or an echo of this one's)."""

    def on_answer(self, data: bytes) -> None:
        """Take an answer to a call of this process."""

    def on_connected(self, stored: Mapping[str, list[bytes]]) -> None:
        """Take what Redis holds of each shared state, by its name, when a connection is made."""

    def on_tick(self) -> None:
        """Do what is due; called several times a second."""

    def channels(self) -> list[str]:
        """Return what is subscribed."""

    def states(self) -> list[str]:
        """Return the names of the shared states."""


class Transport(Protocol):
    """Carries requests to the other processes; the caller's own process is not its business."""

    name: str

    def start(self) -> None:
        """Start what it needs, without waiting for it; more than once is fine."""

    def close(self) -> None:
        """Leave: the others forget this member."""

    def abandon(self) -> None:
        """In a forked child: drop what is the parent's, without disturbing it."""

    def subscribe(self, channel: str) -> None:
        """Listen to a channel, now or once connected."""

    def unsubscribe(self, channel: str) -> None:
        """Listen to it no more."""

    def send(self, channel: str, message: str) -> bool:
        """Send a request that wants no answer; false when there is no connection."""

    def ask(self, channel: str, message: str, call: Call) -> None:
        """Send a request and tell the call whom to expect."""

    def check(self, call: Call, patience: float) -> None:
        """Find out, within ``patience`` seconds, which of the silent members are worth waiting for."""

    def answer(self, member: str, message: str) -> None:
        """Send an answer to a member."""

    def members(self) -> list[Member]:
        """Return all members, this one first."""

    def load(self, state: str) -> list[bytes] | None:
        """Return what is stored of a shared state, names and values in turn; None if it is not known."""

    def save(self, state: str, fields: Mapping[str, str], superseded: Iterable[str]) -> bool:
        """Store fields of a shared state in place of those that they supersede; false when it could not."""

    def health(self) -> Health:
        """Tell how the transport is."""


class LocalTransport:
    """For a process alone: there is nobody else, and that is healthy."""

    name = "local"

    def __init__(self, me: Member) -> None:
        self._me = me

    def start(self) -> None:
        """Do nothing: there is nothing to start."""

    close = abandon = start

    def subscribe(self, channel: str) -> None:
        """Do nothing: requests do not leave the process."""

    unsubscribe = subscribe

    def send(self, channel: str, message: str) -> bool:  # noqa: ARG002 # a Transport's signature
        """Do nothing: there is nobody else."""
        return True

    def ask(self, channel: str, message: str, call: Call) -> None:  # noqa: ARG002 # a Transport's signature
        """Expect nobody."""
        call.expect(())

    def check(self, call: Call, patience: float) -> None:
        """Do nothing: nobody is doubtful."""

    def answer(self, member: str, message: str) -> None:
        """Do nothing: nobody asks from elsewhere."""

    def members(self) -> list[Member]:
        """Return this process."""
        return [self._me.at(time.time())]

    def load(self, state: str) -> list[bytes] | None:  # noqa: ARG002 # a Transport's signature
        """Know of nothing stored."""
        return None

    def save(self, state: str, fields: Mapping[str, str], superseded: Iterable[str]) -> bool:  # noqa: ARG002 # as above
        """Store nothing: the state is of this process only."""
        return True

    def health(self) -> Health:
        """Tell that all is well."""
        return Health("local", True, True, self._me.started, True, 0, None)
