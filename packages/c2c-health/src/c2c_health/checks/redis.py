"""The check that Redis answers, by redis-py."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Unpack

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from c2c_broadcast import BroadcastSettings, ConfigurationError, broadcast
from c2c_health._check import DEFAULT_TIMEOUT, Check, Options
from c2c_health.checks import secrets_of, shown

# Redis-py's retries would outlast the deadline; the next probe is the retry.
_ONCE: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
_QUICK = 2.0
_Sentinel: Callable[..., Any] = Sentinel  # redis-py leaves it without types


def redis_check(url: str, name: str | None, level: int, **options: Unpack[Options]) -> Check:
    """Return the check of a Redis by URL.

    Raises:
        ConfigurationError: It is no URL of a Redis.
    """
    url = url if "://" in url else f"redis://{url}"
    try:
        shown(url)
    except ValueError as error:
        raise ConfigurationError(f"The health check of the Redis: {error}") from None
    return _check(name or shown(url), _by_url(url, options.get("timeout", DEFAULT_TIMEOUT)), url, level, **options)


def own_redis_check(settings: BroadcastSettings, level: int) -> Check:
    """Return the check of the Redis that the base is set to use.

    Raises:
        ConfigurationError: Its URL or options can't be used.
    """
    options = settings.redis_options or {}
    if not settings.redis_sentinels:
        url = settings.redis_url or ""
        return _check(shown(url), _and_stored(_by_url(url, _QUICK, options)), url, level)
    quick = {"socket_timeout": _QUICK, "socket_connect_timeout": _QUICK, **_ONCE}
    asked = settings.redis_sentinel_options or {}
    service = settings.redis_servicename or ""

    def run() -> None:
        sentinel: Any = _Sentinel(settings.redis_sentinels, sentinel_kwargs=quick | asked)
        with closing(sentinel.master_for(service, **{**quick, "db": settings.redis_db, **options})) as client:
            client.ping()

    return _check(f"redis_sentinel_{service}", _and_stored(run), "", level)


def _and_stored(run: Callable[[], None]) -> Callable[[], None]:
    """Add that Redis takes what the base stores there: it may answer, and refuse writes (out of memory, READONLY)."""

    def both() -> None:
        run()
        unsaved = broadcast.health().unsaved
        if unsaved:
            names = ", ".join(f"{name} ({reason})" for name, reason in sorted(unsaved.items()))
            raise RuntimeError(f"shared state is not stored: {names}")

    return both


def _by_url(url: str, timeout: float, options: Mapping[str, Any] | None = None) -> Callable[[], None]:
    # Options of the URL win over these, as redis-py has it.
    settings = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **_ONCE, **(options or {})}
    settings.pop("ssl", None)  # a matter of the URL's scheme

    def run() -> None:
        # A connection of its own, each time: one that is kept says nothing of whether others can connect.
        with closing(Redis.from_url(url, **settings)) as client:
            client.ping()

    try:
        Redis.from_url(url, **settings).close()
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"The health check of the Redis {shown(url)}: {error}") from None
    return run


def _check(name: str, run: Callable[[], None], url: str, level: int, **options: Unpack[Options]) -> Check:
    return Check(
        name=name, run=lambda _request: run(), level=level, kind="redis", secrets=tuple(secrets_of(url)), **options
    )
