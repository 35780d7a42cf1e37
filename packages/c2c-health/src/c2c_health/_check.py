"""What a check is, how a run of it ended, which checks a report is about, and the report: plain values."""

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, TypedDict

from c2c_broadcast import ConfigurationError, mask


class JsonCheckException(Exception):  # noqa: N818 # the documented name, older than the rule
    """Fail a check, with structured content: ``json`` becomes the failure's ``result``."""

    def __init__(self, message: str, json: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.json = json


class Degraded(JsonCheckException):
    """Pass a check with a warning: the service works, with less than all it wants."""


class State(StrEnum):
    """How a check stands. ``DEGRADED`` passes."""

    PASSED = "passed"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a check gave, masked: ``result`` is JSON, ``message`` tells why it is not ``PASSED``."""

    state: State
    seconds: float
    result: Any = None
    message: str | None = None
    stacktrace: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check stands after its last run.

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


def failed(name: str, message: str, *, level: int = 1, seconds: float = 0.0) -> Verdict:
    """Return the verdict on what did not pass."""
    return Verdict(name, level, State.FAILED, Outcome(State.FAILED, seconds, message=message), message)


DEFAULT_TIMEOUT = 5.0
_HIGHEST_LEVEL = 1_000_000

Run = Callable[[Any], Any]
"""What a check does: it takes the request and returns something JSON can hold (or None), or raises."""


class Pace(TypedDict, total=False):
    """How often a check is run, and believed: what every ``add_*`` takes by keyword.

    ``cache``: seconds for which an outcome is good. ``interval``: run in the background that often, in seconds; the
    view reads memory. ``failures`` and ``successes``: runs in a row that it takes to change a check's mind.
    """

    cache: float
    interval: float | None
    failures: int
    successes: int


class Options(Pace, total=False):
    """The same, ``timeout``: seconds until a run counts as failed, and ``shown_from``: see ``Check``."""

    timeout: float
    shown_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. ``level`` is 1 for what the service can't work without, higher for what is good to know.

    A report up to a lower level names it from ``shown_from`` on (default: ``level``); there its failure degrades the
    service, it does not fail it, and nobody waits for a run of it that takes long.

    ``kind`` says what it is about (``db``, ``url``, ...) to those who count; ``secrets`` are texts that never appear in
    its reports, besides those that every report hides; ``run`` may change what is in it. ``prepare``, where there is
    one, is called before each run, in its thread: what it takes to import the code that the check needs says nothing of
    what is checked, so the deadline counts from its end (and from 20 s after its begin at the latest).

    Raises:
        ConfigurationError: A value makes no sense; the message names the check and what would.
    """

    name: str
    run: Run
    level: int = 1
    shown_from: int | None = None
    timeout: float = DEFAULT_TIMEOUT
    cache: float = 0.0
    interval: float | None = None
    failures: int = 1
    successes: int = 1
    kind: str = "custom"
    secrets: Collection[str] = field(default=(), repr=False)
    prepare: Callable[[], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense, and hide what the name should not have said."""
        name = mask(self.name).strip() if isinstance(self.name, str) else self.name
        object.__setattr__(self, "name", name)
        if not isinstance(name, str) or not name or "," in name or not name.isprintable():
            raise ConfigurationError(f"The name of a health check must be printable text without a comma, not {name!r}")
        if not callable(self.run):
            raise ConfigurationError(f"Health check {name}: what to run must be callable, not {self.run!r}")
        for what, highest in (
            ("level", _HIGHEST_LEVEL),
            ("shown_from", self.level),
            ("failures", _HIGHEST_LEVEL),
            ("successes", _HIGHEST_LEVEL),
        ):
            value = getattr(self, what)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
                raise ConfigurationError(f"Health check {name}: {what} must be a whole number from 1, not {value!r}")
        for what in ("timeout", "cache", "interval"):
            value = getattr(self, what)
            if value is None or (what == "cache" and value == 0):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(f"Health check {name}: {what} must be seconds above 0, not {value!r}")


def taking_request(name: str, function: Callable[..., Any]) -> Run:
    """Return ``function`` as one that takes the request, if it takes no argument.

    Raises:
        ConfigurationError: It can't be called with the request alone, nor with nothing, or it is async.
    """
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"Health check {name}: it must be a function of the request (not async): {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that does not tell
        return function
    for arguments in ((None,), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return function if arguments else lambda _request: function()
    raise ConfigurationError(f"Health check {name}: its function is called with the request, but takes {signature}")


@dataclass(frozen=True, slots=True)
class HealthChecked:
    """A check was run. Sent from the check's own thread.

    ``kind`` is what the check is about: ``db``, ``alembic``, ``url``, ``redis``, ``version`` or ``custom``;
    ``outcome`` is what this run gave, ``state`` how the check stands since; ``seconds`` is how long the run took;
    ``changed`` tells that ``state`` is another one than before; ``result`` is what the check gave, masked.
    """

    name: str
    level: int
    kind: str
    outcome: State
    state: State
    seconds: float
    changed: bool
    result: Any = None


@dataclass(frozen=True, slots=True)
class RequestThreadsSeen:
    """How busy all processes of the family are, every few seconds where there is a probe address.

    ``threads`` is None where the server does not tell, ``backlog`` (connections that wait) where the kernel does not.
    """

    busy: int
    threads: int | None
    backlog: int | None


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """``count`` processes run this version (a git hash): this process at its start, or all that the check found."""

    version: str
    count: int


class Selection(NamedTuple):
    """What a report is about: its checks, the level up to which a failure fails the report, and unknown names."""

    checks: list[Check]
    highest: float
    unknown: list[str]


class SelectionError(ValueError):
    """The parameters of a request make no sense; the message tells what would."""


def select(
    checks: Sequence[Check], max_level: str | None = None, names: Sequence[str] = (), *, tolerant: bool = False
) -> Selection:
    """Return the checks up to ``max_level`` (1 where it is None) of these names (all, where there are none).

    Checks that are named run whatever their level, unless a ``max_level`` comes with them. Those of a higher level that
    are shown at this one are among them. Where one is ``tolerant``, unknown names are fine beside known ones.

    Raises:
        SelectionError: A name or the level can't be right.
    """
    wanted = [name for names_ in names for name in map(str.strip, names_.split(",")) if name]
    unknown = sorted(set(wanted) - {check.name for check in checks})
    if unknown and not (tolerant and set(wanted) > set(unknown)):
        there_are = ", ".join(sorted(check.name for check in checks)) or "none"
        raise SelectionError(f"Unknown health check: {', '.join(unknown)}. There are: {there_are}")
    named = [check for check in checks if not wanted or check.name in wanted]
    if max_level is None:
        max_level = str(_HIGHEST_LEVEL) if wanted else "1"
    if not (max_level.isascii() and max_level.isdecimal()):
        levels = ", ".join(map(str, sorted({0, *(check.level for check in checks)})))
        raise SelectionError(f"max_level must be a whole number from 0, not {max_level[:50]!r}. Levels here: {levels}")
    # A level beyond all levels is as good as the highest, and Python refuses to read numbers of 4,300 digits.
    highest = int(max_level.lstrip("0")[:9] or "0")
    found = [check for check in named if (check.shown_from or check.level) <= highest]
    if wanted and not found and highest > 0:
        above = ", ".join(f"{check.name} ({check.level})" for check in named)
        raise SelectionError(f"max_level={highest} leaves none of the named checks: their levels are {above}")
    return Selection(found, highest, unknown)


def report(
    verdicts: Iterable[Verdict], failure_status: int, *, highest: float = math.inf, stacktraces: bool = False
) -> dict[str, Any]:
    """Return the report: ``status`` is there when something failed; ``timing`` is in seconds.

    A failure of a level above ``highest`` is a success that tells its trouble: ``outcome`` is ``degraded``.
    """
    found: dict[str, dict[str, Any]] = {"successes": {}, "failures": {}}
    for verdict in verdicts:
        passing = verdict.passing or verdict.level > highest
        outcome = verdict.outcome
        entry: dict[str, Any] = {"timing": round(outcome.seconds, 6), "level": verdict.level}
        if verdict.state is not State.PASSED:
            entry["message"] = verdict.message
            if passing:
                entry["outcome"] = str(State.DEGRADED)
        if outcome.result is not None:
            entry["result"] = outcome.result
        if stacktraces and outcome.stacktrace and not verdict.passing:
            entry["stacktrace"] = outcome.stacktrace
        found["successes" if passing else "failures"][verdict.name] = entry
    return {"status": failure_status, **found} if found["failures"] else found
