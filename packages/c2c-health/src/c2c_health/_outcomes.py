"""What a check says, and what came of one run of it: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class JsonCheckException(Exception):  # noqa: N818 # the documented name, older than the rule
    """Fail a check, with structured content: ``json`` becomes the failure's ``result``."""

    def __init__(self, message: str, json: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.json = json


class Degraded(Exception):  # noqa: N818 # says a state, not a mistake
    """Pass a check with a warning: the service works, with less than all it wants.

    ``json``, where given, becomes the check's ``result``.
    """

    def __init__(self, message: str, json: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.json = json


class State(StrEnum):
    """How a check stands. ``DEGRADED`` passes."""

    PASSED = "passed"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a check gave.

    ``seconds`` is how long it took (wall time); ``result`` is JSON; ``message`` tells why it is not ``PASSED``;
    ``at`` is when it ended, in seconds since the epoch. Everything in it is masked.
    """

    state: State
    seconds: float
    at: float
    result: Any = None
    message: str | None = None
    stacktrace: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check stands after its last run: what is reported.

    It differs from the run's outcome where the check wants several runs of one kind before it changes its mind.
    """

    name: str
    level: int
    state: State
    outcome: Outcome
    message: str | None = None

    @property
    def passing(self) -> bool:
        """Whether it counts as a success."""
        return self.state is not State.FAILED


Verdicts = Mapping[str, Verdict]
