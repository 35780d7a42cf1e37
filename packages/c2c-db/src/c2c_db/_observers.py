"""What happens, as data, for those who measure: the two sides, states, events to callbacks, and counts."""

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass

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
        if observer not in self._observers:
            self._observers = (*self._observers, observer)

    def notify(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 # an observer must not break the request it watches
                if observer not in self._failed:
                    self._failed.add(observer)
                    _LOG.exception("A database observer failed (said once): %r", observer)
