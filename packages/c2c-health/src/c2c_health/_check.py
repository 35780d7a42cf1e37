"""What a check is, how it stands, and what is told of it: plain values."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

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
class Verdict:
    """What one run of a check gave, masked, or how the check stands since: ``message`` tells why it is not ``PASSED``.

    The two differ where the check wants several runs of one kind before it changes its mind. ``result`` is JSON.
    """

    name: str
    level: int
    state: State
    message: str | None = None
    seconds: float = 0.0
    result: Any = None
    stacktrace: str | None = None

    @property
    def passing(self) -> bool:
        """Whether it counts as a success."""
        return self.state is not State.FAILED


DEFAULT_TIMEOUT = 5.0
MOST = 1_000_000
_SECONDS = ("timeout", "cache", "interval")


class Options(TypedDict, total=False):
    """What every ``add_*`` also takes by keyword: how often a check is run, and believed.

    ``timeout``: seconds until a run counts as failed. ``cache``: seconds for which an outcome is good. ``interval``:
    run in the background that often, in seconds; the view reads memory. ``failures`` and ``successes``: runs in a row
    that it takes to change a check's mind. ``shown_from``: see ``Check``.
    """

    timeout: float
    cache: float
    interval: float | None
    failures: int
    successes: int
    shown_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. ``level`` is 1 for what the service can't work without, higher for what is good to know.

    A report up to a lower level names it from ``shown_from`` on (default: ``level``); there its failure degrades the
    service, it does not fail it, and nobody waits for a run of it that takes long. ``run`` takes the request, returns
    what JSON can hold, or None, or raises; it may change what is in ``secrets``, texts that no report of it shows.
    ``prepare`` is called before each run, in its thread: what it takes to import the code that the check needs says
    nothing of what is checked, so the deadline counts from its end (and from 20 s after its begin at the latest).

    Raises:
        ConfigurationError: A value makes no sense; the message names the check and what would.
    """

    name: str
    run: Callable[[Any], Any]
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
        if not callable(self.run) or inspect.iscoroutinefunction(self.run):
            raise ConfigurationError(
                f"Health check {name}: it wants a function of the request, not async: {self.run!r}"
            )
        try:
            inspect.signature(self.run).bind(None)
        except TypeError as error:
            raise ConfigurationError(f"Health check {name}: its function is called with the request: {error}") from None
        except ValueError:  # a builtin that does not tell
            pass
        for what in ("level", "shown_from", "failures", "successes", *_SECONDS):
            value = getattr(self, what)
            if value is None or (what == "cache" and value == 0):
                continue
            kind, wanted = (int | float, "seconds above 0") if what in _SECONDS else (int, "a whole number from 1")
            most = self.level if what == "shown_from" else MOST
            if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value <= most:
                raise ConfigurationError(f"Health check {name}: {what} must be {wanted}, not {value!r}")


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


class SelectionError(ValueError):
    """The parameters of a request make no sense; the message tells what would."""
