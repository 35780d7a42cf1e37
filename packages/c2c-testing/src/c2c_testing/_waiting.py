"""Wait for something, or try it again."""

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import requests

from c2c_testing._alarms import check_alarms

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")


def retry_timeout(what: Callable[[], T], timeout: float = 60, interval: float = 0.5) -> T:
    """Call a function until it returns something true, and return that.

    Args:
        what: an exception that it raises counts as "not yet"
        timeout: seconds after which no further try is made; there is one in any case
        interval: seconds between tries

    Raises:
        TimeoutError: with the last exception, if there was one, as its cause
        ContainerDiedError: a container of a composition died meanwhile
    """
    deadline = time.monotonic() + timeout
    while True:
        check_alarms()
        failure: Exception | None = None
        try:
            result = what()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try may do
            failure, answer = error, f"raised {type(error).__name__}: {error}"
        else:
            if result:
                return result
            answer = f"returned {result!r}"
        if time.monotonic() + interval > deadline:
            name = getattr(what, "__name__", repr(what))
            raise TimeoutError(f"{name} still {answer} after {timeout} s") from failure
        time.sleep(interval)


def wait_url(url: str, timeout: float = 60) -> None:
    """Wait until a GET of the URL answers with a status below 400.

    Raises:
        TimeoutError: it did not in ``timeout`` seconds; the message has the last failure
    """

    def answers() -> bool:
        # One try may not eat the whole time: a server that is just starting may never answer its first request.
        with requests.get(url, timeout=max(0.1, min(timeout, 10)), stream=True) as response:
            response.raise_for_status()
        return True

    try:
        retry_timeout(answers, timeout)
    except TimeoutError as error:
        raise TimeoutError(f"{url} does not answer after {timeout} s: {error.__cause__}") from error.__cause__


def retry(
    exception: type[Exception] | tuple[type[Exception], ...], tries: int = 3, delay: float = 0.5, backoff: float = 2
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that it is called again when it raises such an exception.

    Args:
        exception: a class or a tuple of classes; others go through
        tries: how many calls at most; the exception of the last one goes through
        delay: seconds before the second call
        backoff: what the delay is multiplied by after each call

    Raises:
        ValueError: ``tries`` is below 1
    """
    if tries < 1:
        raise ValueError(f"tries={tries}: at least one call is needed")

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            pause = delay
            for left in range(tries - 1, 0, -1):
                try:
                    return function(*args, **kwargs)
                except exception as error:
                    _LOG.warning("%s: %s; %d tries left, the next in %s s", function.__qualname__, error, left, pause)
                    time.sleep(pause)
                    pause *= backoff
            return function(*args, **kwargs)

        return call

    return decorate
