"""The check that Redis answers, by redis-py."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Unpack

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from c2c_broadcast import BroadcastSettings, ConfigurationError, broadcast
from c2c_health._check import DEFAULT_TIMEOUT, Check, JsonCheckException, Options
from c2c_health.checks import secrets_of, shown

# Redis-py's retries would outlast the deadline; the next probe is the retry.
_ONCE: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
_QUICK = 2.0
_INFO = {
    "version": "redis_version",
    "role": "role",
    "connected_clients": "connected_clients",
    "used_memory": "used_memory_human",
}
_PROBE, _PROBE_SECONDS = "c2c_health_check", 60
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


def own_redis_check(settings: BroadcastSettings, level: int, name: str) -> tuple[Check, str]:
    """Return the check of the Redis that the base is set to use, and what its address names it.

    ``name`` is its name; ``url`` is for the address.

    Raises:
        ConfigurationError: Its URL or options can't be used.
    """
    options = settings.redis_options or {}
    if not settings.redis_sentinels:
        url = settings.redis_url or ""
        address = shown(url)
        run = _by_url(url, _QUICK, options, writes=True)
        return _check(address if name == "url" else name, run, url, level), address
    quick = {"socket_timeout": _QUICK, "socket_connect_timeout": _QUICK, **_ONCE}
    asked = settings.redis_sentinel_options or {}
    service = settings.redis_servicename or ""

    def ask() -> dict[str, Any]:
        sentinel: Any = _Sentinel(settings.redis_sentinels, sentinel_kwargs=quick | asked)
        with closing(sentinel.master_for(service, **{**quick, "db": settings.redis_db, **options})) as client:
            return _state(client, writes=True)

    address = f"redis_sentinel_{service}"
    return _check(address if name == "url" else name, ask, "", level), address


def _by_url(
    url: str, timeout: float, options: Mapping[str, Any] | None = None, *, writes: bool = False
) -> Callable[[], dict[str, Any]]:
    # Options of the URL win over these, as redis-py has it.
    settings = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **_ONCE, **(options or {})}
    settings.pop("ssl", None)  # a matter of the URL's scheme

    def run() -> dict[str, Any]:
        # A connection of its own, each time: one that is kept says nothing of whether others can connect.
        with closing(Redis.from_url(url, **settings)) as client:
            return _state(client, writes=writes)

    try:
        Redis.from_url(url, **settings).close()
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"The health check of the Redis {shown(url)}: {error}") from None
    return run


def _state(client: Any, *, writes: bool) -> dict[str, Any]:
    """Return what the server says of itself.

    Raises:
        JsonCheckException: It refuses writes, or what the base stores there; where ``writes`` wants to know.
    """
    client.ping()
    try:
        info = client.info()
    except ResponseError:  # a user who may not ask (ACL)
        info = {}
    found = {name: info[key] for name, key in _INFO.items() if key in info}
    if writes:
        try:
            client.set(_PROBE, "1", ex=_PROBE_SECONDS)
        except NoPermissionError:  # this name is not for this user, which says nothing of the server
            pass
        except ResponseError as error:  # OOM, READONLY, MISCONF, NOREPLICAS
            raise JsonCheckException(f"it refuses writes: {error}", found) from error
        unsaved = broadcast.health().unsaved
        if unsaved:
            names = ", ".join(f"{name} ({reason})" for name, reason in sorted(unsaved.items()))
            raise JsonCheckException(f"shared state is not stored: {names}", found)
    return found


def _check(name: str, run: Callable[[], dict[str, Any]], url: str, level: int, **options: Unpack[Options]) -> Check:
    return Check(
        name=name, run=lambda _request: run(), level=level, kind="redis", secrets=tuple(secrets_of(url)), **options
    )
