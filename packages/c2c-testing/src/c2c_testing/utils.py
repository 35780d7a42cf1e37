"""Small tools for tests; the module's name is the documented one.

``DOCKER_GATEWAY`` is the host name for ports that containers publish: in a container its default gateway, else
``localhost``. It is found out when it is first asked for.
"""

import contextlib
import functools
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
import requests

__all__ = ["DOCKER_GATEWAY", "approx", "in_docker", "retry", "retry_timeout", "skipIfCI", "wait_url"]

#: Each is called before each try of ``retry_timeout`` and raises when there is no point in going on.
ALARMS: set[Callable[[], None]] = set()


def check_alarms() -> None:
    """Raise what an alarm has to say."""
    for alarm in tuple(ALARMS):
        alarm()


_GATEWAY_FLAG = 0x2  # RTF_GATEWAY, linux/route.h


def in_docker(root: Path = Path("/")) -> bool:
    """Tell whether this process is in a Docker or Podman container."""
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))


def _gateway(root: Path = Path("/")) -> str:
    # /proc/net/route (proc_pid_net(5)): interface, destination, gateway, flags, ...; addresses are hexadecimal, in the
    # machine's byte order, which is little endian wherever we run.
    route = root / "proc/net/route"
    for line in route.read_text().splitlines()[1:] if in_docker(root) and route.exists() else ():
        _, destination, address, flags, *_ = line.split()
        if int(destination, 16) == 0 and int(flags, 16) & _GATEWAY_FLAG:
            return socket.inet_ntoa(int(address, 16).to_bytes(4, "little"))
    return "localhost"


_LOG = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")


def retry_timeout(what: Callable[[], T], timeout: float = 60, interval: float = 0.5) -> T:
    """Call a function until it returns something true, and return that; an exception counts as "not yet".

    There are ``interval`` seconds between tries, and no further one after ``timeout`` seconds.

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


@contextlib.contextmanager
def between(begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Do one thing before the block and another one after it, however it ends."""
    begin()
    try:
        yield
    finally:
        end()


def wait_url(url: str, timeout: float = 60) -> None:
    """Wait until a GET of the URL answers with a status below 400; TimeoutError has the last failure."""

    def answers() -> bool:
        # One try may not eat the whole time: a server that is just starting may never answer its first request.
        with requests.get(url, timeout=max(0.1, min(timeout, 10)), stream=True) as response:
            response.raise_for_status()
        return True

    answers.__name__ = f"GET {url}"
    retry_timeout(answers, timeout)


def retry(
    exception: type[Exception] | tuple[type[Exception], ...], tries: int = 3, delay: float = 0.5, backoff: float = 2
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that it is called again when it raises such an exception.

    There are so many ``tries`` at most; the exception of the last one goes through. ``delay`` are the seconds before
    the second one, multiplied by ``backoff`` after each.
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


DOCKER_GATEWAY: str

#: Mark a test that cannot run on a continuous integration server (environment variable CI or IN_CI, not 0 or false).
#: pytest evaluates the text when the test's turn has come, so that importing this reads no environment.
skipIfCI = pytest.mark.skipif(  # noqa: N816 - the documented name
    "any(os.environ.get(name, '0').lower() not in ('', '0', 'false') for name in ('CI', 'IN_CI'))",
    reason="not on a continuous integration server",
)


def __getattr__(name: str) -> str:
    if name == "DOCKER_GATEWAY":
        return _gateway()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def approx(struct: Any, **kw: Any) -> Any:
    """Return a copy of the structure that equals another one whose floats differ a little.

    Dicts, lists and tuples are gone through to any depth; all but floats must be the same. ``kw`` are those of
    pytest.approx (``rel``, ``abs``, ``nan_ok``).
    """
    if isinstance(struct, float):
        return pytest.approx(struct, **kw)
    if isinstance(struct, dict):
        return {key: approx(value, **kw) for key, value in struct.items()}
    if isinstance(struct, list | tuple):
        # A named tuple takes its fields one by one.
        make = getattr(type(struct), "_make", type(struct))
        return make(approx(value, **kw) for value in struct)
    return struct
