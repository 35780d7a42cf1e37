"""What happens, as data, for those who measure: the two sides, states, events to callbacks, and counts."""

import enum
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from c2c_broadcast.process import at_fork

_LOG = logging.getLogger(__name__)


class Role(enum.StrEnum):
    """The side a session works on: ``primary`` takes writes, ``replica`` only reads."""

    __hash__ = str.__hash__  # Enum's own is a call for each look-up

    PRIMARY = "primary"
    REPLICA = "replica"


class State(enum.StrEnum):
    """What a replica is good for: only a usable one is read from."""

    UNKNOWN = "unknown"
    USABLE = "usable"
    LAGGING = "lagging"
    OFFLINE = "offline"
    NOT_A_REPLICA = "not a replica"


@dataclass(frozen=True, slots=True)
class Decided:
    """A session got its engine: ``role`` is the side it works on, ``reason`` why it is this engine."""

    database: str
    engine: str
    role: Role
    reason: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """An engine's server changed its state; ``lag`` in seconds, where known."""

    database: str
    engine: str
    before: str
    after: str
    reason: str
    lag: float | None


@dataclass(frozen=True, slots=True)
class Probed:
    """A replica was probed; ``lag`` in seconds, where known."""

    database: str
    engine: str
    state: State
    lag: float | None


Event = Decided | StateChanged | Probed
Observer = Callable[[Event], object]


class Observers:
    """The callbacks of one application, called where things happen: they must be quick; what they raise is logged."""

    def __init__(self) -> None:
        self._observers: tuple[Observer, ...] = ()
        self._failed: set[Observer] = set()

    def add(self, observer: Observer) -> None:
        """Call it with each event from now on."""
        if observer not in self._observers:
            self._observers = (*self._observers, observer)

    def notify(self, event: Event) -> None:
        """Hand an event to all observers."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 # an observer must not break the request it watches
                if observer not in self._failed:
                    self._failed.add(observer)
                    _LOG.exception("A database observer failed (said once): %r", observer)


class Decisions:
    """How often which engine was chosen, and why."""

    def __init__(self, database: str, observers: Observers) -> None:
        self._database = database
        self._observers = observers
        self._events: dict[tuple[str, Role, str], Decided] = {}
        self.after_fork()
        at_fork(self)

    def after_fork(self) -> None:
        """Begin at nought, in the child."""
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, engine: str, role: Role, reason: str) -> None:
        """Count a decision and tell the observers."""
        event = self._events.get((engine, role, reason))
        if event is None:
            event = self._events[engine, role, reason] = Decided(self._database, engine, role, reason)
        with self._lock:
            self._counts[engine, reason] = self._counts.get((engine, reason), 0) + 1
        self._observers.notify(event)

    def snapshot(self) -> dict[tuple[str, str], int]:
        """Return (engine name, reason) -> how often."""
        with self._lock:
            return dict(self._counts)
