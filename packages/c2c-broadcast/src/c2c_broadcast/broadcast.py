"""Call functions in every process of a service, and collect their answers.

    from c2c_broadcast import broadcast

    broadcast.subscribe("version", lambda: {"version": "1.2"})
    broadcast.ask("version")    # Answers(answers=[{"hostname": ..., "pid": ..., "version": "1.2"}, ...], ...)

These functions are those of one broadcaster, which is of the process, as loggers are.
"""

import functools
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from c2c_broadcast._answers import Answers, Failure, Health, Missing
from c2c_broadcast._base_settings import BroadcastSettings
from c2c_broadcast._broadcaster import Broadcaster
from c2c_broadcast._callbacks import Callback
from c2c_broadcast._errors import BroadcastError
from c2c_broadcast._settings import load

__all__ = [
    "Answers",
    "BroadcastError",
    "Broadcaster",
    "Failure",
    "Health",
    "Missing",
    "ask",
    "broadcast",
    "close",
    "decorator",
    "get_broadcaster",
    "init",
    "set_broadcaster",
    "start",
    "subscribe",
    "unsubscribe",
]

_F = TypeVar("_F", bound=Callable[..., Any])


class _Process:
    """What is of the process: its broadcaster, made at the first use."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.broadcaster: Broadcaster | None = None


_PROCESS = _Process()


def get_broadcaster() -> Broadcaster:
    """Return the broadcaster of this process."""
    if _PROCESS.broadcaster is None:
        with _PROCESS.lock:
            if _PROCESS.broadcaster is None:
                _PROCESS.broadcaster = Broadcaster()
    return _PROCESS.broadcaster


def set_broadcaster(broadcaster: Broadcaster) -> Broadcaster:
    """Use another broadcaster, in tests; return the one before it, to be put back."""
    before = get_broadcaster()
    _PROCESS.broadcaster = broadcaster
    return before


def init(
    settings: BroadcastSettings | Mapping[str, Any] | None = None,
    application: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Choose the transport by ini ``settings`` and environment; without Redis it is this process alone.

    Nothing is started or connected by this. ``application`` names this process among the members, by default the
    program's name. The same settings again change nothing; subscriptions made before are kept.

    Raises:
        ConfigurationError: A setting can't be used; the message names it.
    """
    if not isinstance(settings, BroadcastSettings):
        settings = load(BroadcastSettings, settings or {}, environ)
    get_broadcaster().configure(settings, application)


def start() -> None:
    """Take part from now on, for daemons; returns at once. In a service the first request does it."""
    get_broadcaster().start()


def close() -> None:
    """Leave: threads end, the others forget this process. Done by itself at exit."""
    get_broadcaster().close()


def subscribe(channel: str, callback: Callback) -> None:
    """Have ``callback(**params)``, which returns what JSON can hold, answer broadcasts on ``channel``.

    A channel has one callback; a later one replaces it. Callbacks run in threads of their own, never in the listener.

    Raises:
        BroadcastError: The name of the channel is no short text, or the callback no function.
    """
    get_broadcaster().subscribe(channel, callback)


def unsubscribe(channel: str) -> None:
    """Answer broadcasts on ``channel`` no more."""
    get_broadcaster().unsubscribe(channel)


def broadcast(
    channel: str, params: Mapping[str, Any] | None = None, expect_answers: bool = False, timeout: float = 10
) -> list[Any] | None:
    """Call the callback of ``channel`` in every process, with ``params`` as keyword arguments.

    Returns None as soon as this process's own callback has ended; with ``expect_answers`` a list of all answers, in
    which each member that failed or did not answer within ``timeout`` seconds is None. A dict among them has
    ``hostname`` and ``pid`` of its process.

    Raises:
        BroadcastError: An argument is of a wrong kind, JSON can't hold the parameters, or callbacks ask each other
            endlessly.
    """
    return get_broadcaster().broadcast(channel, params, expect_answers, timeout)


def ask(channel: str, params: Mapping[str, Any] | None = None, timeout: float = 10) -> Answers:
    """Call the callback of ``channel`` in every process and return answers, failures, and who is missing.

    Returns as soon as all live members answered, after ``timeout`` seconds at the latest.

    Raises:
        BroadcastError: An argument is of a wrong kind, JSON can't hold the parameters, or callbacks ask each other
            endlessly.
    """
    return get_broadcaster().ask(channel, params, timeout)


def decorator(
    channel: str | None = None, expect_answers: bool = False, timeout: float = 10
) -> Callable[[_F], Callable[..., list[Any] | None]]:
    """Make calling a function call it in every process, with its keyword arguments.

    What the call returns is what ``broadcast`` does. The channel is named after the function by default.

    Raises:
        BroadcastError: The name of the channel is no short text, or the parentheses are missing.
    """
    if callable(channel):
        raise BroadcastError(f"broadcast.decorator has parentheses, also without arguments: it was given {channel!r}")

    def decorate(function: _F) -> Callable[..., list[Any] | None]:
        name = channel or f"c2c_decorated_{function.__module__}.{function.__qualname__}"
        subscribe(name, function)

        @functools.wraps(function)
        def everywhere(**params: Any) -> list[Any] | None:
            return broadcast(name, params, expect_answers, timeout)

        return everywhere

    return decorate
