"""What comes back from a broadcast: values for the caller."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """A member whose callback could not answer: it raised, it was busy, or JSON can't hold what it returned.

    ``type`` is the name of the exception's class, ``message`` its text with secrets masked.
    """

    hostname: str
    pid: int
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A member that did not answer; ``last_seen`` is its last sign of life in seconds since the epoch."""

    hostname: str
    pid: int
    application: str
    last_seen: float


@dataclass(frozen=True, slots=True)
class Answers:
    """All that is known when an ``ask`` ends.

    ``answers`` are the callbacks' return values as JSON gives them back, in the order they came; a dict has
    ``hostname`` and ``pid`` of its process. ``missing`` did not answer at all; ``late`` said that their callback is
    still at work. ``complete`` is true when every live member answered or failed, and Redis, where one is configured,
    could be asked.
    """

    answers: list[Any]
    failed: list[Failure]
    missing: list[Missing]
    late: list[Missing]
    complete: bool


@dataclass(frozen=True, slots=True)
class Health:
    """How the broadcaster of this process is.

    ``connected`` is true for the local transport; ``since`` is when ``connected`` last changed (seconds since the
    epoch); ``listening`` is false only if the listener's thread is dead, which it never should be; ``queued`` counts
    the callbacks that wait for a thread; ``error`` says, masked, why there is no connection.
    """

    transport: str
    started: bool
    connected: bool
    since: float
    listening: bool
    queued: int
    error: str | None
