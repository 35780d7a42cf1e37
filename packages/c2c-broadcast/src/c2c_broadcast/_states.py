"""The shared states of one broadcaster: how changes reach the other processes and Redis, and when values end."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from c2c_broadcast._alarms import Alarms
from c2c_broadcast._answers import Health
from c2c_broadcast._messages import BadMessageError
from c2c_broadcast._node import Node
from c2c_broadcast._state_core import StateCore
from c2c_broadcast._state_entry import Entry

_LOG = logging.getLogger(__name__)


class Owner(Protocol):
    """The broadcaster, as far as states need it."""

    @property
    def node(self) -> Node | None:
        """The member that this process is, None before the start."""

    def running(self) -> Node:
        """Return it, started."""

    def health(self) -> Health:
        """Tell how it is."""

    def subscribe(self, channel: str, callback: Callable[..., Any]) -> None:
        """Have the callback answer a channel."""


class States:
    """All shared states of a process, by name."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._delivering = threading.RLock()
        self._cores: dict[str, StateCore] = {}
        self._alarms = Alarms(self._ring)

    def names(self) -> list[str]:
        """Return the names of all states."""
        return list(self._cores)

    def get(self, name: str, clock: Callable[[], float] = time.time) -> StateCore:
        """Return the state of this name; a new one takes what Redis holds, now or once connected."""
        core = self._cores.get(name)
        if core is None:
            core = self._cores.setdefault(name, StateCore(name, self._delivering, clock))
            self._owner.subscribe(_channel(name), lambda entries: self._receive(core, entries))
            node = self._owner.node
            held = None if node is None else node.transport.load(name)
            if held is not None:
                self.merge(name, held)
        return core

    def change(self, core: StateCore, make: Callable[[int, str], Entry]) -> Entry:
        """Make a change here, in Redis and in the other processes."""
        node = self._owner.running()
        entry, before = core.change(lambda version: make(version, node.me.id))
        self._arm(core)
        # First stored, then told: a process that is born meanwhile learns it one way or the other.
        node.transport.save(core.name, {entry.field: entry.dump()}, [] if before is None else [before.field])
        node.tell(_channel(core.name), {"entries": [asdict(entry)]})
        return entry

    def merge(self, name: str, held: list[bytes]) -> None:
        """Agree with what Redis holds, both ways."""
        core, node = self._cores[name], self._owner.node
        lacking, useless, entries = core.merge(held)
        self._arm(core)
        if node is not None and (lacking or useless):
            node.transport.save(name, lacking, useless)
            if entries:
                node.tell(_channel(name), {"entries": [asdict(entry) for entry in entries]})

    def reach_all(self) -> bool:
        """Tell whether what is told now reaches the other processes."""
        self._owner.running()
        health = self._owner.health()
        # Still connecting for the first time is no error: what is set now is told with the first connection.
        return health.transport == "local" or health.connected or health.error is None

    def wake(self) -> None:
        """End what ended while nobody watched, and watch again: at the start, in a forked child too."""
        for core in list(self._cores.values()):
            core.tell()
            self._arm(core)

    def after_fork(self) -> None:
        """Make locks and alarms anew, in a forked child."""
        self._delivering = threading.RLock()
        self._alarms.after_fork()
        for core in self._cores.values():
            core.after_fork(self._delivering)

    def _receive(self, core: StateCore, entries: list[dict[str, Any]]) -> None:
        taken = []
        for fields in entries:
            try:
                taken.append(Entry.parse(fields))
            except BadMessageError as error:
                _LOG.warning("Shared state %s: what another process sent is dropped: %s", core.name, error)
        core.apply(taken)
        self._arm(core)

    def _arm(self, core: StateCore) -> None:
        end = core.next_end()
        if end is not None:
            self._alarms.at(end, core.name)

    def _ring(self, name: str) -> None:
        core = self._cores[name]
        core.tell()
        self._arm(core)


def _channel(name: str) -> str:
    return f"c2c_state_{name}"
