"""A check: a name, a level, and what to run, as a plain value."""

import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from c2c_broadcast import ConfigurationError, mask

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
        _whole(name, "level", self.level, 1, _HIGHEST_LEVEL)
        if self.shown_from is not None:
            _whole(name, "shown_from", self.shown_from, 1, self.level)
        _whole(name, "failures", self.failures, 1, _HIGHEST_LEVEL)
        _whole(name, "successes", self.successes, 1, _HIGHEST_LEVEL)
        _seconds(name, "timeout", self.timeout)
        _seconds(name, "cache", self.cache, or_zero=True)
        if self.interval is not None:
            _seconds(name, "interval", self.interval)

    @property
    def about(self) -> dict[str, Any]:
        """Everything of it that people may read, for introspection."""
        hidden = {"run", "prepare", "secrets"}
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in hidden}


def taking_request(name: str, function: Callable[..., Any]) -> Run:
    """Return ``function`` as one that takes the request, if it takes no argument.

    Raises:
        ConfigurationError: It can't be called with the request alone, nor with nothing, or it is async.
    """
    if not callable(function):
        raise ConfigurationError(f"Health check {name}: the check must be a function of the request, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            f"Health check {name}: it is async, and nobody awaits it: give a function (asyncio.run)"
        )
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


def _whole(name: str, what: str, value: Any, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ConfigurationError(f"Health check {name}: {what} must be a whole number from {lowest}, not {value!r}")


def _seconds(name: str, what: str, value: Any, *, or_zero: bool = False) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (value == 0 and not or_zero):
        raise ConfigurationError(f"Health check {name}: {what} must be a number of seconds above 0, not {value!r}")
