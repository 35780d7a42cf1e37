"""What others may hear of: Pyramid events, so that metrics need no import in either direction."""

from dataclasses import dataclass

from c2c_health._outcomes import State


@dataclass(frozen=True, slots=True)
class HealthChecked:
    """A check was run: ``config.add_subscriber(callback, HealthChecked)``. Sent from the check's own thread.

    ``kind`` is what the check is about: ``db``, ``alembic``, ``url``, ``redis``, ``version`` or ``custom``;
    ``outcome`` is what this run gave, ``state`` how the check stands since; ``seconds`` is how long the run took;
    ``changed`` tells that ``state`` is another one than before.
    """

    name: str
    level: int
    kind: str
    outcome: State
    state: State
    seconds: float
    changed: bool


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """``count`` processes run this version (``version`` is its git hash): the process itself at start-up, or all
    members as the version check found them.
    """  # noqa: D205 # one sentence

    version: str
    count: int
